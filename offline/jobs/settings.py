"""Where jobs live and how fast they may be."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from shiwu.chassis.settings import ClientSettings
from shiwu.wire.fetching import FetchSettings


class JobSettings(BaseSettings):
    """Read from the environment: JOBS_HOME and so on."""

    model_config = SettingsConfigDict(env_prefix="JOBS_", env_nested_delimiter="__", frozen=True, extra="forbid")

    home: Path = Path(".shiwu/jobs")
    """A folder for each job. Workers on several machines need a file system that they share."""
    database_url: str | None = None
    """Of the workers' queue, such as postgresql://user:password@host/shiwu_jobs. Unset: SQLite in `home`."""
    review_url: str | None = None
    """SQLAlchemy's address of the queue of proposals. Unset: SQLite in `home`."""
    vectors_url: str | None = None
    """SQLAlchemy's address of the vectors that jobs have made. Unset: SQLite in `home`."""
    worker: str = Field("local", pattern=r"^[\w.-]{1,100}$")
    """This worker's name. It takes up again what a worker of the same name left undone, so no two may run at a time."""
    at_once: PositiveInt = Field(default_factory=lambda: os.cpu_count() or 1)
    """Tasks that this worker works on at the same time."""
    tasks_per_second: PositiveFloat | None = None
    """Of all workers together. Unset: no limit."""
    attempts: PositiveInt = 3
    """Tries of a task before it is put on the dead list."""
    retry_seconds: PositiveFloat = 1.0
    """Pause before the second try; doubled before each further one."""
    fetch: FetchSettings = FetchSettings()
    """How pictures on the web are fetched."""
    detector: ClientSettings = ClientSettings(target="127.0.0.1:50051")
    embedder: ClientSettings = ClientSettings(target="127.0.0.1:50052")
    classifier: ClientSettings = ClientSettings(target="127.0.0.1:50053")
    search: ClientSettings = ClientSettings(target="127.0.0.1:50054")
    catalog: ClientSettings = ClientSettings(target="127.0.0.1:50055")

    @property
    def database(self) -> str:
        """The queue's address."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'queue.sqlite'}"

    @property
    def review(self) -> str:
        """The address of the queue of proposals."""
        return self.review_url or f"sqlite:///{self.home.resolve() / 'review.sqlite'}"

    @property
    def vectors(self) -> str:
        """The address of the vectors that jobs have made."""
        return self.vectors_url or f"sqlite:///{self.home.resolve() / 'vectors.sqlite'}"

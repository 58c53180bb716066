"""What can be configured, by environment variables that start with CATALOG_."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from services.catalog.import_settings import ImportSettings
from shiwu.chassis.settings import ClientSettings, ServerSettings, ServiceSettings

_DRIVERS = ("sqlite+aiosqlite", "postgresql+psycopg")


def _database(url: SecretStr) -> SecretStr:
    wanted = "expected sqlite+aiosqlite:///path/to/catalog.db or postgresql+psycopg://user@host/database"
    try:
        parsed = make_url(url.get_secret_value())
    except ArgumentError:
        raise ValueError(wanted) from None
    if parsed.drivername not in _DRIVERS:
        raise ValueError(wanted)
    if parsed.drivername == _DRIVERS[0] and parsed.database in (None, "", ":memory:"):
        raise ValueError(wanted)
    return url


class Settings(ServiceSettings):
    """The catalogue's settings."""

    model_config = SettingsConfigDict(env_prefix="CATALOG_")

    server: ServerSettings = ServerSettings(port=50055)
    detector: ClientSettings = ClientSettings(target="127.0.0.1:50051")
    embedder: ClientSettings = ClientSettings(target="127.0.0.1:50052")
    search: ClientSettings = ClientSettings(target="127.0.0.1:50054")

    database_url: Annotated[SecretStr, AfterValidator(_database)] = SecretStr("sqlite+aiosqlite:///.shiwu/catalog.db")
    """SQLite is brought to this program's revision at the start; PostgreSQL by `python -m services.catalog migrate`."""
    database_connections: int = Field(10, ge=1, le=1000)
    """At most so many at a time."""
    audit: Path | None = None
    """File that notes who changed what; unset: stderr, among the logs."""
    keep_scans_days: float = Field(30.0, gt=0.0)
    """What scans leave behind, gaps with their pictures and what people said of answers, is erased so long after."""
    upkeep_seconds: float = Field(30.0, gt=0.0)
    """How often pictures that the index does not hold yet are given to it again."""
    look_seconds: float = Field(15.0, gt=0.0)
    """How often the database is asked what waits, for the metrics."""
    max_image_bytes: int = Field(20 * 2**20, ge=1)
    """Largest encoded picture, bytes."""
    max_image_pixels: int = Field(40_000_000, ge=1)
    """Largest picture, pixels."""
    imports: ImportSettings = ImportSettings()

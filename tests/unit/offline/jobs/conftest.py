from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evaluation.postgres_server import running_postgres
from offline.jobs.settings import JobSettings

ROOT = Path(__file__).parents[4]


@contextmanager
def running_worker(settings: JobSettings) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process; killed at the end if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.offline.jobs.worker", settings.model_dump_json()], cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def start_worker() -> Callable[[JobSettings], contextmanager]:
    return running_worker


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    with running_postgres() as server:
        yield server.create_database()

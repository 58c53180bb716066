"""A worker in a process of its own, until it is told to end: python -m tests.unit.offline.jobs.worker SETTINGS_JSON."""

from __future__ import annotations

import signal
import sys
from threading import Event

from offline.jobs.engine import Engine
from offline.jobs.known import JOBS
from offline.jobs.settings import JobSettings
from tests.unit.offline.jobs.counting import COUNTING


def main() -> None:
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with Engine(JobSettings.model_validate_json(sys.argv[1]), {**JOBS, COUNTING.name: COUNTING}):
        ended.wait()


if __name__ == "__main__":
    main()

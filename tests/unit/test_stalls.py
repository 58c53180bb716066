"""The watch sees a machine that stands still, by being stopped itself, and nothing else."""

from __future__ import annotations

import os
import signal
import time

from tests.stalls import STALL, StallWatch


def stop(watch: StallWatch) -> None:
    os.kill(watch.pid, signal.SIGSTOP)
    time.sleep(4 * STALL)
    os.kill(watch.pid, signal.SIGCONT)


def test_a_stall_is_seen_once() -> None:
    watch = StallWatch()
    deadline = time.monotonic() + 20
    while not watch.stood_still():  # until the process has begun to watch
        assert time.monotonic() < deadline
        stop(watch)
    while watch.stood_still():  # a busy machine may stop it again
        assert time.monotonic() < deadline
    stop(watch)
    assert watch.stood_still()

"""Whether the machine stood still: a virtual machine whose host is busy stops all its processes for a second or more.

A test that asks for an answer within a deadline says nothing about the code then. It is run once more, and pytest's
summary lists it as rerun; a test that fails while the machine runs has failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

_NAP = 0.01
STALL = 0.05
"""Seconds beyond its nap after which a process counts as stopped: a third of what services keep back to answer in."""


class StallWatch:
    """A process that naps, and writes a byte for each nap that was much longer than asked for.

    It is a process, not a thread: code that holds the interpreter's lock, or an event loop, must not look like a stall.
    """

    def __init__(self) -> None:
        self._stalls, written = os.pipe()
        os.set_blocking(self._stalls, False)
        self._process = subprocess.Popen([sys.executable, "-I", __file__], stdout=written)
        os.close(written)
        self.pid = self._process.pid

    def forget(self) -> None:
        """Begins to watch anew."""
        self._read()

    def stood_still(self) -> bool:
        """Whether the machine stood still since `forget`. A stall that ends just now is waited for."""
        time.sleep(2 * _NAP)
        return self._read()

    def _read(self) -> bool:
        try:
            return bool(os.read(self._stalls, 1 << 16))
        except BlockingIOError:
            return False


def _watch() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        begin = time.monotonic()
        time.sleep(_NAP)
        if time.monotonic() - begin > _NAP + STALL:
            os.write(1, b".")


if __name__ == "__main__":
    _watch()

"""Files that may be exchanged while a service runs: certificates, keys."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path


class WatchedFiles:
    """Notices that a file was replaced or written; looks at most once in `seconds`, so that asking costs nothing."""

    def __init__(self, paths: Sequence[Path], seconds: float = 1.0) -> None:
        self._paths = paths
        self._seconds = seconds
        self._next_look = time.monotonic() + seconds
        self._seen = self._states()

    def changed(self) -> bool:
        """Whether a file is another one than when this was last asked."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + self._seconds
        seen, self._seen = self._seen, self._states()
        return seen != self._seen

    def _states(self) -> list[tuple[int, int, int] | None]:
        return [_state(path) for path in self._paths]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size

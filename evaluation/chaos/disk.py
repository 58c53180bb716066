"""A disk that can be full: a small file system in memory, if we may mount one."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_BLOCK = bytes(1 << 20)


@dataclass(frozen=True)
class SmallDisk:
    """A folder; `is_small` tells whether it is a file system of its own that can be filled."""

    path: Path
    is_small: bool

    @staticmethod
    @contextmanager
    def mounted(path: Path, mebibytes: int) -> Iterator[SmallDisk]:
        """An empty disk of this size meanwhile; just a folder where mounting is not allowed."""
        path.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(path)]
        is_small = os.getuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
        try:
            yield SmallDisk(path, is_small)
        finally:
            if is_small:
                subprocess.run(["umount", "--lazy", str(path)], check=False)

    def fill(self) -> None:
        """Takes all the space that is left."""
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(_BLOCK)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def clear(self) -> None:
        """Gives it back."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

"""The files of pictures, wherever their uri says that they lie."""

from __future__ import annotations

import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from offline.pictures.sources import INSIDE
from shiwu.vision.decode import Limits


class UnreadableError(Exception):
    """Why the file of a picture cannot be had."""


class PictureFiles:
    """Reads pictures' files by their uri. Keeps archives open between reads; use as a context manager."""

    def __init__(self, max_bytes: int = Limits().max_bytes) -> None:
        self._max_bytes = max_bytes
        self._stack = ExitStack()
        self._zips: dict[str, zipfile.ZipFile] = {}
        self._tars: dict[str, tarfile.TarFile] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, uri: str) -> bytes:
        """The bytes of a picture. Raises UnreadableError."""
        try:
            path, inside, member = uri.partition(INSIDE)
            data = self._member(path, member) if inside else self._file(path)
        except (OSError, KeyError, zipfile.BadZipFile, tarfile.TarError, RuntimeError) as error:
            msg = f"cannot be read: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
            raise UnreadableError(msg) from error
        if len(data) > self._max_bytes:
            msg = f"is larger than {self._max_bytes:,} bytes"
            raise UnreadableError(msg)
        return data

    def _file(self, path: str) -> bytes:
        with Path(path).open("rb") as file:
            return file.read(self._max_bytes + 1)

    def _member(self, path: str, name: str) -> bytes:
        member = self._zipped(path, name) if path.lower().endswith(".zip") else self._tarred(path, name)
        with member:
            return member.read(self._max_bytes + 1)

    def _zipped(self, path: str, name: str) -> IO[bytes]:
        if path not in self._zips:
            self._zips[path] = self._stack.enter_context(zipfile.ZipFile(path))
        return self._zips[path].open(name)

    def _tarred(self, path: str, name: str) -> IO[bytes]:
        if path not in self._tars:
            self._tars[path] = self._stack.enter_context(tarfile.open(path))  # noqa: SIM115  # it does
        if (member := self._tars[path].extractfile(name)) is None:
            raise KeyError(name)
        return member

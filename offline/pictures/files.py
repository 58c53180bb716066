"""The files of pictures, wherever their uri says that they lie."""

from __future__ import annotations

import asyncio
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self, TypeVar

from offline.pictures.sources import INSIDE
from shiwu.wire.fetching import Fetcher, FetchError, FetchSettings

_AT_ONCE: Final = 8
"""Pictures read at the same time: the web is slow, and so is a shared disk."""
_T = TypeVar("_T")
_R = TypeVar("_R")


class UnreadableError(Exception):
    """Why the file of a picture cannot be had."""


class PictureFiles:
    """Reads pictures' files by their uri, from any thread. Keeps archives and connections open; a context manager."""

    def __init__(self, fetch: FetchSettings) -> None:
        """fetch: how pictures on the web are fetched; its limit of bytes is that of all files."""
        self._max_bytes = fetch.max_bytes
        self._fetch = fetch
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._web: _Web | None = None
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
        if "://" in uri:
            return self._opened_web().read(uri)
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

    def each(self, work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        """What `work`, which reads, gives for each item, in their order; some at a time."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(work, items))

    def _opened_web(self) -> _Web:
        with self._lock:
            if self._web is None:
                self._web = self._stack.enter_context(_Web(self._fetch))
            return self._web

    def _file(self, path: str) -> bytes:
        with Path(path).open("rb") as file:
            return file.read(self._max_bytes + 1)

    def _member(self, path: str, name: str) -> bytes:
        with self._lock:  # archives have one place that they are read at
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


class _Web:
    """The asynchronous fetcher for those who wait: its event loop runs in a thread of its own."""

    def __init__(self, settings: FetchSettings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._fetcher = Fetcher(self._settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._fetcher.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def read(self, address: str) -> bytes:
        """Raises UnreadableError."""
        try:
            return asyncio.run_coroutine_threadsafe(self._fetcher.fetch(address), self._loop).result()
        except FetchError as error:
            raise UnreadableError(str(error)) from error

"""Where a feed and its pictures lie: the folders that may be read, and the web.

A path is resolved, symbolic links and all, before it is compared with the folders, so neither ".." nor a link leads
out of them.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from services.catalog.feed_lines import FeedError
from services.catalog.feed_reading import FeedFormat
from shiwu.wire.fetching import Fetched, Fetcher, FetchError, Validators

_FORMATS: dict[str, FeedFormat] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".xml": "xml"}


class PictureError(Exception):
    """Why a picture of a feed cannot be used, without its address."""


def locate_feed(feed_uri: str, roots: Sequence[Path]) -> Path:
    """The feed's file, by a file:// URI or an absolute path. Raises FeedError if it may not or cannot be read."""
    real = _located(feed_uri, roots)
    if not stat.S_ISREG(real.stat().st_mode):
        msg = f"{feed_uri[:500]!r} is not a file"
        raise FeedError(msg)
    return real


def locate_folder(uri: str, roots: Sequence[Path]) -> Path:
    """A folder, by a file:// URI or an absolute path. Raises FeedError if it may not or cannot be read."""
    real = _located(uri, roots)
    if not real.is_dir():
        msg = f"{uri[:500]!r} is not a folder"
        raise FeedError(msg)
    return real


def format_of(path: Path) -> FeedFormat:
    """The format by the file's name. Raises FeedError."""
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError as error:
        msg = f"{path.name!r} does not end in {', '.join(_FORMATS)}; expected such a name, or the format in the request"
        raise FeedError(msg) from error


class PictureSource:
    """The pictures of one feed."""

    def __init__(self, folder: Path, roots: Sequence[Path], fetcher: Fetcher, max_bytes: int) -> None:
        """folder: of the feed. max_bytes: of a picture."""
        self._folder = folder
        self._roots = roots
        self._fetcher = fetcher
        self._max_bytes = max_bytes

    async def read(self, address: str) -> bytes:
        """The file of a picture. Raises PictureError."""
        return (await self.read_if_changed(address, Validators())).data or b""

    async def read_if_changed(self, address: str, known: Validators) -> Fetched:
        """The file of a picture, unless the web server says that it is in the state `known`. Raises PictureError."""
        if "://" not in address:
            return Fetched(await asyncio.to_thread(self._read, address))
        try:
            return await self._fetcher.fetch_if_changed(address, known)
        except FetchError as error:
            raise PictureError(str(error)) from error

    def _read(self, relative: str) -> bytes:
        pure = PurePosixPath(relative)
        if pure.is_absolute() or ".." in pure.parts:
            msg = "leads out of the feed's folder; expected a path relative to the feed, or an http(s) address"
            raise PictureError(msg)
        try:
            real = (self._folder / pure).resolve(strict=True)
            if not _within(real, [self._folder, *self._roots]):
                msg = "is a link that leads out of the folders that this server imports from"
                raise PictureError(msg)
            if not stat.S_ISREG(real.stat().st_mode):
                msg = "is not a file"
                raise PictureError(msg)
            with real.open("rb") as file:
                data = file.read(self._max_bytes + 1)
        except (OSError, RuntimeError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else str(error)
            msg = f"cannot be read: {problem}"
            raise PictureError(msg) from error
        if len(data) > self._max_bytes:
            msg = f"is larger than {self._max_bytes:,} bytes"
            raise PictureError(msg)
        return data


def _located(uri: str, roots: Sequence[Path]) -> Path:
    path = Path(_path_of(uri))
    if not path.is_absolute():
        msg = f"{uri[:500]!r} is not absolute; expected a file:// URI or an absolute path"
        raise FeedError(msg)
    if not roots:
        msg = "this server imports nothing; its operator sets the folders to import from: CATALOG_IMPORTS__ROOTS"
        raise FeedError(msg)
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        real = path.resolve()
        problem = error.strerror if isinstance(error, OSError) else "the symbolic links go in circles"
        # Outside of the roots nobody is told what exists.
        msg = f"{uri[:500]!r} cannot be read: {problem}" if _within(real, roots) else _outside(uri, roots)
        raise FeedError(msg) from error
    if not _within(real, roots):
        raise FeedError(_outside(uri, roots))
    return real


def _path_of(feed_uri: str) -> str:
    scheme, colon, _ = feed_uri.partition("://")
    if "\0" in feed_uri or "%00" in feed_uri:
        msg = "contains a NUL character; expected a file:// URI or an absolute path"
        raise FeedError(msg)
    if not colon:
        return feed_uri
    if scheme.lower() != "file":
        msg = f"{feed_uri[:500]!r} is not on this server; expected a file:// URI or an absolute path"
        raise FeedError(msg)
    parts = urlsplit(feed_uri)
    if parts.netloc not in ("", "localhost"):
        msg = f"{feed_uri[:500]!r} names another host; expected file:///path"
        raise FeedError(msg)
    return unquote(parts.path)


def _within(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder.resolve()) for folder in folders)


def _outside(feed_uri: str, roots: Sequence[Path]) -> str:
    return f"{feed_uri[:500]!r} is outside of the folders to import from: {', '.join(map(str, roots))}"

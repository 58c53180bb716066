"""A source's file, plain or compressed by gzip or bzip2, read once from its start."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

Kind = Literal["jsonl", "mediawiki"]

_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"

BROKEN = (EOFError, OSError, zlib.error)
"""What reading a file raises that is cut off, or is not what its first bytes say."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The file's content, and the file itself, whose `tell` says how much of it is read. Raises OSError."""
    with path.open("rb") as raw:
        mark = raw.read(3)
        raw.seek(0)
        if mark.startswith(_GZIP):
            with gzip.open(raw) as content:
                yield content, raw  # type: ignore[misc]  # a file that can be read, whatever else it can
        elif mark == _BZIP2:
            with bz2.open(raw) as content:
                yield content, raw
        else:
            yield raw, raw


def kind_of(path: Path) -> Kind:
    """What a file holds, by its first character. Raises OSError, and ValueError if it is neither."""
    try:
        with opened(path) as (content, _):
            start = content.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except (EOFError, zlib.error) as error:
        msg = f"{path} cannot be unpacked: {error}"
        raise ValueError(msg) from error
    if start.startswith(b"<"):
        return "mediawiki"
    if start.startswith(b"{"):
        return "jsonl"
    msg = f"{path} begins with {start[:20]!r}; expected JSON lines or a MediaWiki XML dump, plain, gz or bz2"
    raise ValueError(msg)

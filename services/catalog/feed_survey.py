"""The first pass over a feed: how many rows it has, which keys occur in it more than once, and its fingerprint.

Reading a feed of millions of rows must not fill the memory, and yet a repeated key must be noticed however far apart
its rows are. So the first pass keeps only a 64-bit hash of each key (8 bytes each), and from the sorted hashes the few
that occur twice; the second pass then remembers the lines of just these keys, by the keys themselves.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.catalog.feed_lines import FeedError
from services.catalog.feed_reading import read_records
from services.catalog.feeds import Feed, RowKeys, row_keys
from services.catalog.resources import RowProblem


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first pass has found."""

    rows: int
    """Good and bad ones; blank lines are none."""
    sha256: str
    """Of the file, hexadecimal."""
    repeated: frozenset[int]
    """Hashes of the keys that occur in more than one row."""


def fingerprint(path: Path) -> str:
    """SHA-256 of the file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def survey(path: Path, feed: Feed) -> Survey:
    """Reads the whole feed once. Raises FeedError."""
    rows = 0
    hashes = array("Q")
    sha256 = fingerprint(path)
    with path.open("rb") as file:
        feed.check(file)
        file.seek(0)
        for record in read_records(file, feed.format):
            rows += 1
            if not isinstance(record, RowProblem):
                keys = row_keys(record, feed.default_merchant)
                hashes.extend(key_hash(key) for key in (keys.product, keys.style, keys.merchant, keys.offer) if key)
    if not rows:
        msg = "the feed has no rows; expected at least one"
        raise FeedError(msg)
    return Survey(rows, sha256, _repeated(hashes))


def _repeated(hashes: array[int]) -> frozenset[int]:
    ordered = np.sort(np.frombuffer(hashes, np.uint64)) if hashes else np.empty(0, np.uint64)
    return frozenset(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]).tolist())


def key_hash(key: str) -> int:
    """64 bits of a key."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())


class Repeats:
    """Where the keys of the rows so far stood first. Must be shown every row of the feed, in order."""

    def __init__(self, repeated: frozenset[int]) -> None:
        """repeated: of the survey; keys that are not among them are not remembered."""
        self._repeated = repeated
        self._lines: dict[str, int] = {}

    def seen(self, keys: RowKeys, line: int) -> Seen:
        """Which of the keys of the row at `line` stood in an earlier row."""
        return Seen(*(self._first(key, line) for key in (keys.product, keys.style, keys.merchant, keys.offer)))

    def _first(self, key: str, line: int) -> int:
        """The earlier line with this key; 0 if there is none."""
        if not key or key_hash(key) not in self._repeated:
            return 0
        first = self._lines.setdefault(key, line)
        return first if first != line else 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Lines in which a row's keys stood first, if that was an earlier one; else 0."""

    product: int
    style: int
    merchant: int
    offer: int

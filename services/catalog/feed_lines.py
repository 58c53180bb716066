"""The physical lines of a feed's file, in whatever encoding it is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Final

from shiwu.chassis.errors import InvalidInputError

_MAX_LINE: Final = 1 << 20
"""Characters (bytes in UTF-8) of a physical line. A longer one is skipped, so that a file without any line ends
cannot fill the memory."""


class FeedError(InvalidInputError):
    """The feed as a whole cannot be used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="feed_uri")


class Lines:
    """Physical lines as text, and what was wrong with them.

    A line that is not text still takes its place, so that a quoted field that spans lines keeps the rows in step.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.number = 0
        """Of the line read last."""
        self._trouble = ""
        self._offset = 0
        mark = file.read(4)
        file.seek(0)
        self._file = file
        self._wide: io.TextIOWrapper | None = None
        if mark.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
            msg = "the feed is UTF-32; expected UTF-8, or UTF-16 with a byte order mark"
            raise FeedError(msg)
        if mark.startswith((b"\xff\xfe", b"\xfe\xff")):
            self._wide = io.TextIOWrapper(io.BufferedReader(_Unclosed(file)), encoding="utf-16", newline="")
        elif mark.startswith(b"\xef\xbb\xbf"):
            file.seek(3)
            self._offset = 3

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text = self._wide_line(self._wide) if self._wide else self._line()
        if not text:
            raise StopIteration
        self.number += 1
        return text

    def take_trouble(self) -> str:
        """What was wrong with the lines read since the last call; empty if nothing was."""
        trouble, self._trouble = self._trouble, ""
        return trouble

    def _line(self) -> str:
        data = self._file.readline(_MAX_LINE)
        start, self._offset = self._offset, self._offset + len(data)
        if len(data) == _MAX_LINE and not data.endswith(b"\n"):
            while rest := self._file.readline(_MAX_LINE):
                self._offset += len(rest)
                if rest.endswith(b"\n"):
                    break
            return self._too_long()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            self._report(
                f"line {self.number + 1} is not UTF-8: byte 0x{data[error.start]:02x} at offset {start + error.start} "
                "of the file; save the feed as UTF-8, or as UTF-16 with a byte order mark"
            )
            return data.decode(errors="replace")

    def _wide_line(self, wide: io.TextIOWrapper) -> str:
        try:
            text = wide.readline(_MAX_LINE)
            if len(text) < _MAX_LINE or text.endswith("\n"):
                return text
            while rest := wide.readline(_MAX_LINE):
                if rest.endswith("\n"):
                    break
        except UnicodeError as error:
            msg = f"the feed is not UTF-16, as its byte order mark says, after line {self.number}: {error}"
            raise FeedError(msg) from error
        return self._too_long()

    def _too_long(self) -> str:
        self._report(f"line {self.number + 1} is longer than {_MAX_LINE:,} bytes")
        return "\n"

    def _report(self, trouble: str) -> None:
        self._trouble = self._trouble or trouble


class _Unclosed(io.RawIOBase):
    """A file whose wrapper may be forgotten without closing it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

"""Reads a feed's file row by row: CSV, TSV or JSON lines. Knows nothing of what the columns mean.

The file is never held in memory. A row that cannot be read is reported and the reading goes on after it; only what
makes the whole file unreadable (no header, a foreign encoding's header) ends it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final, Literal

from services.catalog.resources import RowProblem
from shiwu.chassis.errors import InvalidInputError

FeedFormat = Literal["csv", "tsv", "jsonl"]
Value = str | list[str]

_MAX_LINE: Final = 1 << 20
"""Characters (bytes in UTF-8) of a physical line. A longer one is skipped, so that a file without any line ends
cannot fill the memory."""
_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}


class FeedError(InvalidInputError):
    """The feed as a whole cannot be used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="feed_uri")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a feed: its columns that are not empty, without the white space around them."""

    line: int
    """Where it begins in the file, from 1."""
    values: dict[str, Value]

    def text(self, column: str) -> str:
        """The column's text; empty if there is none. Raises FieldError if it is a list."""
        value = self.values.get(column, "")
        if isinstance(value, list):
            raise FieldError(column, "is a list; expected text")
        return value

    def problem(self, field: str, problem: str) -> RowProblem:
        """A report on this row, with the row itself as JSON."""
        return RowProblem(self.line, field, problem, json.dumps(self.values, ensure_ascii=False)[:10_000])


class FieldError(Exception):
    """What is wrong with one column of a row, and what is expected."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


def column_name(text: str) -> str:
    """A column's name as this package spells it: Google's "image link", "g:image_link" and "Image_Link" are one."""
    return text.strip().lower().removeprefix("g:").replace(" ", "_")


def read_header(file: IO[bytes], feed_format: FeedFormat) -> list[str]:
    """The columns of a CSV or TSV file; of JSON lines none, as each line names its own. Raises FeedError."""
    lines = _Lines(file)
    return [] if feed_format == "jsonl" else _header(csv.reader(lines, delimiter=_DELIMITERS[feed_format]), lines)


def read_records(file: IO[bytes], feed_format: FeedFormat) -> Iterator[Record | RowProblem]:
    """The rows of a feed in their order; blank lines are no rows. Raises FeedError.

    file: opened for binary reading, at its start. UTF-8, or UTF-16 with a byte order mark.
    """
    lines = _Lines(file)
    return _jsonl(lines) if feed_format == "jsonl" else _delimited(lines, _DELIMITERS[feed_format])


class _Lines:
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


def _delimited(lines: _Lines, delimiter: str) -> Iterator[Record | RowProblem]:
    # strict: a quote in the wrong place is an error here, and silently swallowed text otherwise.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns = _header(reader, lines)
    while True:
        line = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.take_trouble()
            yield RowProblem(line, "", _quoting(line, lines.number, error))
            continue
        if trouble := lines.take_trouble():
            yield RowProblem(line, "", trouble, json.dumps(cells, ensure_ascii=False)[:10_000])
        elif cells:
            yield _record(line, columns, cells)


def _quoting(first: int, last: int, error: csv.Error) -> str:
    where = "this line was" if first == last else f"lines {first} to {last} were"
    return f"{error}; {where} not read (is there a stray quote?)"


def _header(reader: Iterator[list[str]], lines: _Lines) -> list[str]:
    try:
        cells = next(filter(None, reader), None)
    except csv.Error as error:
        hint = "; end the lines with LF or CR LF" if "new-line" in str(error) else ""
        msg = f"the header cannot be read: {error}{hint}"
        raise FeedError(msg) from error
    if trouble := lines.take_trouble():
        msg = f"the header cannot be read: {trouble}"
        raise FeedError(msg)
    if cells is None:
        msg = "the feed is empty; expected a header row with the columns' names"
        raise FeedError(msg)
    columns = [column_name(cell) for cell in cells]
    repeated = sorted({column for column in columns if column and columns.count(column) > 1})
    if repeated:
        msg = f"the header has a column more than once: {', '.join(repeated)}"
        raise FeedError(msg)
    return columns


def _record(line: int, columns: list[str], cells: list[str]) -> Record | RowProblem:
    if len(cells) != len(columns):
        content = json.dumps(cells, ensure_ascii=False)[:10_000]
        return RowProblem(line, "", f"has {len(cells)} cells; the header has {len(columns)}", content)
    stripped = ((column, cell.strip()) for column, cell in zip(columns, cells, strict=True))
    values: dict[str, Value] = {column: cell for column, cell in stripped if column and cell}
    return _checked(Record(line, values))


def _jsonl(lines: _Lines) -> Iterator[Record | RowProblem]:
    for text in lines:
        line = lines.number
        if trouble := lines.take_trouble():
            yield RowProblem(line, "", trouble, text[:10_000])
        elif text.strip():
            yield _json_record(line, text)


def _json_record(line: int, text: str) -> Record | RowProblem:
    try:
        # Numbers stay the text that they are: a price must not pass through binary floating point.
        row = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        if not isinstance(row, dict):
            return RowProblem(line, "", f"is a JSON {_kind(row)}; expected an object", text[:10_000])
        values = {column_name(key): _json_value(column_name(key), value) for key, value in row.items()}
    except (json.JSONDecodeError, RecursionError) as error:
        return RowProblem(line, "", f"is not JSON: {error}; expected one object on the line", text[:10_000])
    except FieldError as error:
        return RowProblem(line, error.field, error.problem, text[:10_000])
    return _checked(Record(line, {key: value for key, value in values.items() if key and value}))


def _json_value(column: str, value: object) -> Value:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value.strip()
        case list() if all(isinstance(item, str) for item in value):
            return [item.strip() for item in value]
        case _:
            raise FieldError(column, f"is a JSON {_kind(value)}; expected text, a number, true, false or null")


def _kind(value: object) -> str:
    return {dict: "object", list: "array", str: "string", bool: "boolean"}.get(type(value), "value")


def _checked(record: Record) -> Record | RowProblem:
    """The record, if its text can be stored: databases and JSON take neither NUL nor halves of surrogate pairs."""
    for column, value in record.values.items():
        for text in value if isinstance(value, list) else [value]:
            if "\0" in text:
                return record.problem(column, "contains a NUL character")
            if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
                return RowProblem(record.line, column, "contains half of a surrogate pair, which is no character")
    return record

"""Reads a feed's file row by row: CSV, TSV or JSON lines. Knows nothing of what the columns mean.

The file is never held in memory. A row that cannot be read is reported and the reading goes on after it; only what
makes the whole file unreadable (no header, a foreign encoding's header) ends it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final, Literal

from services.catalog.feed_lines import FeedError, Lines
from services.catalog.resources import RowProblem

FeedFormat = Literal["csv", "tsv", "jsonl"]
Value = str | list[str]

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MAX_REPORTED: Final = 10_000
"""Characters of a bad row that are reported."""
_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}


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
        return row_problem(self.line, field, problem, self.values)


class FieldError(Exception):
    """What is wrong with one column of a row, and what is expected."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


def row_problem(line: int, field: str, problem: str, content: object = None) -> RowProblem:
    """A report on a row, in text that every database can store. content: of the row, what JSON can say."""
    row = "" if content is None else json.dumps(content)
    if len(row) > _MAX_REPORTED:
        row = json.dumps(row[:_MAX_REPORTED])
    return RowProblem(line, printable(field)[:200], printable(problem), row)


def printable(text: str) -> str:
    """The text with a question mark for what cannot be shown: control characters, halves of surrogate pairs."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def column_name(text: str) -> str:
    """A column's name as this package spells it: Google's "image link", "g:image_link" and "Image_Link" are one."""
    return text.strip().lower().removeprefix("g:").replace(" ", "_")


def read_header(file: IO[bytes], feed_format: FeedFormat) -> list[str]:
    """The columns of a CSV or TSV file; of JSON lines none, as each line names its own. Raises FeedError."""
    lines = Lines(file)
    return [] if feed_format == "jsonl" else _header(csv.reader(lines, delimiter=_DELIMITERS[feed_format]), lines)


def read_records(file: IO[bytes], feed_format: FeedFormat) -> Iterator[Record | RowProblem]:
    """The rows of a feed in their order; blank lines are no rows. Raises FeedError.

    file: opened for binary reading, at its start. UTF-8, or UTF-16 with a byte order mark.
    """
    lines = Lines(file)
    return _jsonl(lines) if feed_format == "jsonl" else _delimited(lines, _DELIMITERS[feed_format])


def _delimited(lines: Lines, delimiter: str) -> Iterator[Record | RowProblem]:
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
            yield row_problem(line, "", _quoting(line, lines.number, error))
            continue
        if trouble := lines.take_trouble():
            yield row_problem(line, "", trouble, cells)
        elif cells:
            yield _record(line, columns, cells)


def _quoting(first: int, last: int, error: csv.Error) -> str:
    where = "this line was" if first == last else f"lines {first} to {last} were"
    return f"{error}; {where} not read (is there a stray quote?)"


def _header(reader: Iterator[list[str]], lines: Lines) -> list[str]:
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
        return row_problem(line, "", f"has {len(cells)} cells; the header has {len(columns)}", cells)
    stripped = ((column, cell.strip()) for column, cell in zip(columns, cells, strict=True))
    values: dict[str, Value] = {column: cell for column, cell in stripped if column and cell}
    return _checked(Record(line, values))


def _jsonl(lines: Lines) -> Iterator[Record | RowProblem]:
    for text in lines:
        line = lines.number
        if trouble := lines.take_trouble():
            yield row_problem(line, "", trouble, text[:_MAX_REPORTED])
        elif text.strip():
            yield _json_record(line, text)


def _json_record(line: int, text: str) -> Record | RowProblem:
    try:
        # Numbers stay the text that they are: a price must not pass through binary floating point.
        row = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        if not isinstance(row, dict):
            return row_problem(line, "", f"is a JSON {_kind(row)}; expected an object", text[:_MAX_REPORTED])
        values = {column_name(key): _json_value(column_name(key), value) for key, value in row.items()}
    except (json.JSONDecodeError, RecursionError) as error:
        return row_problem(line, "", f"is not JSON: {error}; expected one object on the line", text[:_MAX_REPORTED])
    except FieldError as error:
        return row_problem(line, error.field, error.problem, text[:_MAX_REPORTED])
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
            if not text.isascii() and _SURROGATE.search(text):
                return row_problem(record.line, column, "contains half of a surrogate pair, which is no character")
    return record

"""Reads a feed's file row by row: CSV, TSV, JSON lines or XML. Knows nothing of what the columns mean.

The file is never held in memory. A row that cannot be read is reported and the reading goes on after it; only what
makes the whole file unreadable (no header, a foreign encoding's header, XML that is not well-formed) ends it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import IO, Final, Literal

from services.catalog.feed_lines import FeedError, Lines
from services.catalog.feed_records import MAX_REPORTED, FieldError, Record, Value, checked, column_name, row_problem
from services.catalog.feed_xml import check_root, read_items
from services.catalog.resources import RowProblem

FeedFormat = Literal["csv", "tsv", "jsonl", "xml"]

_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}


def read_header(file: IO[bytes], feed_format: FeedFormat) -> list[str] | None:
    """The columns of a CSV or TSV file; None: each row names its own. Raises FeedError."""
    if feed_format == "xml":
        check_root(file)
        return None
    lines = Lines(file)
    return None if feed_format == "jsonl" else _header(csv.reader(lines, delimiter=_DELIMITERS[feed_format]), lines)


def read_records(file: IO[bytes], feed_format: FeedFormat) -> Iterator[Record | RowProblem]:
    """The rows of a feed in their order; blank lines are no rows. Raises FeedError.

    file: opened for binary reading, at its start. UTF-8, or UTF-16 with a byte order mark; XML as it says.
    """
    if feed_format == "xml":
        return read_items(file)
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
    return checked(Record(line, values))


def _jsonl(lines: Lines) -> Iterator[Record | RowProblem]:
    for text in lines:
        line = lines.number
        if trouble := lines.take_trouble():
            yield row_problem(line, "", trouble, text[:MAX_REPORTED])
        elif text.strip():
            yield _json_record(line, text)


def _json_record(line: int, text: str) -> Record | RowProblem:
    try:
        # Numbers stay the text that they are: a price must not pass through binary floating point.
        row = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        if not isinstance(row, dict):
            return row_problem(line, "", f"is a JSON {_kind(row)}; expected an object", text[:MAX_REPORTED])
        values = {column_name(key): _json_value(column_name(key), value) for key, value in row.items()}
    except (json.JSONDecodeError, RecursionError) as error:
        return row_problem(line, "", f"is not JSON: {error}; expected one object on the line", text[:MAX_REPORTED])
    except FieldError as error:
        return row_problem(line, error.field, error.problem, text[:MAX_REPORTED])
    return checked(Record(line, {key: value for key, value in values.items() if key and value}))


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

"""A row of a feed as it was read, and reports on it. Knows nothing of what the columns mean."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from services.catalog.resources import RowProblem

Value = str | list[str]

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
MAX_REPORTED: Final = 10_000
"""Characters of a bad row that are reported."""


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
            raise FieldError(column, "is a list, or there more than once; expected one text")
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
    if len(row) > MAX_REPORTED:
        row = json.dumps(row[:MAX_REPORTED])
    return RowProblem(line, printable(field)[:200], printable(problem), row)


def printable(text: str) -> str:
    """The text with a question mark for what cannot be shown: control characters, halves of surrogate pairs."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def column_name(text: str) -> str:
    """A column's name as this package spells it: Google's "image link", "g:image_link" and "Image_Link" are one."""
    return text.strip().lower().removeprefix("g:").replace(" ", "_")


def checked(record: Record) -> Record | RowProblem:
    """The record, if its text can be stored: databases and JSON take neither NUL nor halves of surrogate pairs."""
    for column, value in record.values.items():
        for text in value if isinstance(value, list) else [value]:
            if "\0" in text:
                return record.problem(column, "contains a NUL character")
            if not text.isascii() and _SURROGATE.search(text):
                return row_problem(record.line, column, "contains half of a surrogate pair, which is no character")
    return record

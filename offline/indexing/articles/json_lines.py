"""Articles as JSON lines: an object with the fields of `SourceArticle` on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

from pydantic import ValidationError

from offline.indexing.articles.opening import BROKEN
from offline.indexing.articles.records import Problem, Skipped, SourceArticle

_LONGEST_LINE = 8 << 20


def read_lines(file: IO[bytes], *, category: str = "") -> Iterator[SourceArticle | Problem | Skipped]:
    """One outcome for each line, in their order.

    category: of articles that name none. A file that cannot be read to its end ends with a problem.
    """
    number = 0
    try:
        for number, line in enumerate(_lines(file), 1):
            if line is None:
                yield Problem(number, "", f"the line is longer than {_LONGEST_LINE:,} bytes")
            elif line.strip():
                yield _read(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, number, category)
            else:
                yield Skipped(number, "no text")
    except BROKEN as error:
        yield Problem(number + 1, "", f"the file cannot be read on from here: {error}")


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Its lines; None for one that is too long to hold."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith(b"\n"):
            yield line
        else:
            while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield None


def _read(line: bytes, number: int, category: str) -> SourceArticle | Problem:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Problem(number, "", f"is not JSON: {error}; expected one object in UTF-8 on the line")
    if not isinstance(fields, dict):
        return Problem(number, "", f"is a JSON {type(fields).__name__}; expected an object")
    try:
        return SourceArticle.model_validate({"category": category} | fields if category else fields)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        key = fields.get("article_id")
        place = ".".join(map(str, wrong["loc"]))
        return Problem(number, key[:128] if isinstance(key, str) else "", f"{place}: {wrong['msg']}")

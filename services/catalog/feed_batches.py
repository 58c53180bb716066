"""The second pass over a feed: rows in batches, from where an import has stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from services.catalog.feed_survey import Repeats, Survey
from services.catalog.feeds import Feed, FeedRow, row_keys
from services.catalog.importing import Entry
from services.catalog.resources import RowProblem
from shiwu.wire.ids import image_id


@dataclass(slots=True)
class Rows:
    """Rows that are committed together."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)
    """Of rows that cannot be used."""
    end: int = 0
    """Rows of the feed up to the last one of these."""


def batches(path: Path, feed: Feed, survey: Survey, *, done: int, size: int) -> Iterator[Rows]:
    """The rows after the first `done`, at most `size` at a time. Raises FeedError, OSError."""
    repeats = Repeats(survey.repeated)
    rows = Rows()
    with path.open("rb") as file:
        for number, row in enumerate(feed.rows(file, datetime.now(UTC)), start=1):
            # Rows that are done must pass here too: later ones may repeat their keys.
            outcome = row if isinstance(row, RowProblem) else _entry(row, feed, repeats)
            if number <= done:
                continue
            if isinstance(outcome, RowProblem):
                rows.problems.append(outcome)
            else:
                rows.entries.append(outcome)
            rows.end = number
            if len(rows.entries) + len(rows.problems) == size:
                yield rows
                rows = Rows()
    if rows.end:
        yield rows


def image_ids(path: Path, feed: Feed, *, size: int) -> Iterator[list[str]]:
    """The ids of all pictures that the feed names, at most about `size` at a time."""
    ids: list[str] = []
    with path.open("rb") as file:
        for row in feed.rows(file, datetime.now(UTC)):
            if isinstance(row, FeedRow):
                ids += [image_id(row.product.product_id, address) for address in row.images]
            if len(ids) >= size:
                yield ids
                ids = []
    if ids:
        yield ids


def _entry(row: FeedRow, feed: Feed, repeats: Repeats) -> Entry | RowProblem:
    seen = repeats.seen(row_keys(row.record, feed.default_merchant), row.record.line)
    if seen.merchant:
        column = "product_id" if "product_id" in row.record.values else "id"
        problem = f"the same product of the same merchant stands in line {seen.merchant} already"
        return row.record.problem(column, problem)
    if seen.offer:
        return row.record.problem("offer_id", f"stands in line {seen.offer} already; expected each offer once")
    return Entry(row, seen)

"""Feeds as lists of what their rows are read as."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from services.catalog.feed_reading import FeedFormat
from services.catalog.feeds import Feed, FeedRow
from services.catalog.resources import RowProblem

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def read(data: str | bytes, feed_format: FeedFormat = "csv", merchant: str = "") -> list[FeedRow | RowProblem]:
    file = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return list(Feed(feed_format, merchant).rows(file, NOW))


def one(data: str | bytes, feed_format: FeedFormat = "csv", merchant: str = "") -> FeedRow:
    [row] = read(data, feed_format, merchant)
    assert isinstance(row, FeedRow), row
    return row


def bad(data: str | bytes, feed_format: FeedFormat = "csv", merchant: str = "") -> RowProblem:
    [row] = read(data, feed_format, merchant)
    assert isinstance(row, RowProblem), row
    return row

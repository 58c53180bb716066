"""Bulk indexing as a job: dedup -> detect, embed -> vote -> denoise -> import, whole products in each partition.

What is found is not asked first: duplicates and noise stay out of the gallery, and their proposals go into the queue;
rejecting one there brings the picture back with the next run. The import gets every picture's vector with the feed, so
that nothing is embedded twice; what the catalogue has already it leaves alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import PositiveInt

from offline.cleaning.dedup import Near
from offline.cleaning.dedup_job import dropped, duplicate, hashed
from offline.cleaning.denoise import DenoiseRule
from offline.cleaning.denoise_job import noise, verdicts
from offline.cleaning.reports import duplicates_report, noise_report
from offline.indexing.importing import import_feed
from offline.indexing.prepared_feeds import pictures_of, prepared_line, rows_by_product
from offline.indexing.voting import voted
from offline.jobs.job import Job, JobOptions, Stage, Work, per_part_of
from offline.pictures.sources import PARTITION, SCHEMA, rows
from offline.pictures.vectors import embed, peers_of
from offline.review.asking import ASKING
from offline.review.proposals import PROPOSALS, Proposal, proposals_table
from offline.review.queue import ReviewQueue

_FEED: Final = pa.schema([("product_id", pa.string()), ("category", pa.string()), ("line", pa.string())])
_IMPORTED: Final = pa.schema([("rows", pa.int64()), ("failed", pa.int64()), ("errors", pa.string())])
"""errors: where the catalogue has written what was wrong with which rows."""


class IndexOptions(JobOptions):
    """Cleans a feed and indexes it."""

    feed: Path
    """JSON lines of our own columns; a row without a category gets the one that its pictures are voted to have. The
    catalogue must be allowed to read the feed's folder, and the folder of the jobs."""
    merchant: str = ""
    """Of rows that name none."""
    near: Near = Near()
    rule: DenoiseRule = DenoiseRule()
    partition: PositiveInt = PARTITION
    """Pictures of one task, and what is left of the last product."""


def _rows(work: Work[IndexOptions], _: int) -> Iterator[pa.Table]:
    yield from rows_by_product(work.options.feed, work.options.partition)


def _hashes(work: Work[IndexOptions], part: int) -> Iterator[pa.Table]:
    yield hashed(pictures_of(work.part("rows", part), work.options.feed.resolve().parent), work.settings.fetch)


def _duplicates(work: Work[IndexOptions], part: int) -> Iterator[pa.Table]:
    yield dropped(work.made("hashes", part), work.options.near)


def _vectors(work: Work[IndexOptions], part: int) -> Iterator[pa.Table]:
    """Of the pictures that are left."""
    gone = _gone(work, [duplicate(row) for row in work.made("duplicates", part).to_pylist()])
    pictures = work.made("hashes", part)
    readable = pictures.filter(pc.equal(pictures["problem"], "")).select(SCHEMA.names)
    left = [row for row in rows(readable) if row.image_id not in gone]
    yield embed(left, peers_of(work.settings))


def _categories(work: Work[IndexOptions], part: int) -> Iterator[pa.Table]:
    """The categories of products that the feed gives none."""
    vectors = work.made("vectors", part)
    yield voted(vectors.filter(pc.equal(vectors["category"], "")), work.settings, partial(_listed, work))


def _listed(work: Work[IndexOptions], products: set[str]) -> set[str]:
    """Those of the products that the feed lists."""
    listed: set[str] = set()
    for part in work.parts("rows", ["product_id"]):
        listed |= products.intersection(part["product_id"].to_pylist())
    return listed


def _verdicts(work: Work[IndexOptions], part: int) -> Iterator[pa.Table]:
    yield verdicts(work.made("vectors", part), work.options.rule)


def _feed(work: Work[IndexOptions], part: int) -> Iterator[pa.Table]:
    """The rows as they are to be imported."""
    left_out = _gone(work, _proposals(work, part))
    vectors = {row["image_id"]: row for row in work.made("vectors", part).to_pylist()}
    categories = {row["product_id"]: row["category"] for row in work.made("categories", part).to_pylist()}
    made = [
        {
            "product_id": row["product_id"],
            "category": (category := row["category"] or categories.get(row["product_id"], "")),
            "line": prepared_line(row, category, left_out, vectors),
        }
        for row in work.part("rows", part).to_pylist()
    ]
    yield pa.Table.from_pylist(made, _FEED)


def _import(work: Work[IndexOptions], part: int) -> Iterator[pa.Table]:
    lines = work.made("feed", part)["line"].to_pylist()
    feed = work.report(f"feed-{part:06d}.jsonl", "".join(f"{line}\n" for line in lines).encode())
    pictures = work.options.feed.resolve().parent
    response = asyncio.run(import_feed(feed.resolve(), pictures, work.options.merchant, work.settings.catalog))
    done = {"rows": response.rows_total, "failed": response.rows_failed, "errors": response.errors_uri}
    yield pa.Table.from_pylist([done], _IMPORTED)


def _gone(work: Work[IndexOptions], proposals: Sequence[Proposal]) -> set[str]:
    """The pictures of proposals that nobody has rejected."""
    with ReviewQueue(work.settings.review) as queue:
        rejected = queue.rejected([proposal.proposal_id for proposal in proposals])
    return {str(each.subject["image_id"]) for each in proposals if each.proposal_id not in rejected}


def _proposals(work: Work[IndexOptions], part: int) -> list[Proposal]:
    duplicates = [duplicate(row) for row in work.made("duplicates", part).to_pylist()]
    judged = work.made("verdicts", part).to_pylist()
    return duplicates + [noise(row) for row in judged if row["verdict"] == "noise"]


def _report(work: Work[IndexOptions], _: int) -> Iterable[pa.Table]:
    unreadable = _problems(work, "hashes")
    gone = work.whole("duplicates").to_pylist()
    pictures = sum(part.num_rows for part in work.parts("hashes", ["image_id"]))
    for name, data in duplicates_report(
        gone, unreadable, pictures, work.options.near.radius, work.settings.fetch
    ).items():
        work.report(name, data)
    for name, data in noise_report(
        work.whole("verdicts").to_pylist(), _problems(work, "vectors"), work.settings.fetch
    ).items():
        work.report(name, data)
    for part in range(work.count("rows")):
        yield proposals_table(_proposals(work, part))


def _problems(work: Work[IndexOptions], stage: str) -> list[dict[str, Any]]:
    table = work.whole(stage, ["image_id", "problem"])
    problems: list[dict[str, Any]] = table.filter(pc.not_equal(table["problem"], "")).to_pylist()
    return problems


INDEX: Final = Job(
    "index",
    IndexOptions,
    (
        Stage("rows", _rows),
        Stage("hashes", _hashes, per_part_of("rows")),
        Stage("duplicates", _duplicates, follows=True),
        Stage("vectors", _vectors, follows=True),
        Stage("categories", _categories, follows=True),
        Stage("verdicts", _verdicts, follows=True),
        Stage("feed", _feed, follows=True),
        Stage("import", _import, follows=True),
        Stage(PROPOSALS, _report),
        ASKING,
    ),
)

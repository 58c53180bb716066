"""Denoising as a job: vectors and verdicts by partition, a partition being some whole products."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import PositiveInt

from offline.cleaning.denoise import DenoiseRule, denoise
from offline.cleaning.reports import noise_report
from offline.jobs.job import Job, JobOptions, Stage, Work, per_part_of
from offline.pictures.sources import PARTITION, by_product, rows
from offline.pictures.vectors import embed, peers_of
from offline.review.asking import ASKING
from offline.review.proposals import PROPOSALS, Proposal, proposals_table

VERDICTS: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("image_id", "uri", "product_id", "verdict")),
        ("distance", pa.float32()),
        ("nearest", pa.string()),
        ("pictures", pa.int32()),
    ]
)
"""distance: to the nearest kept picture of the product, that of image_id `nearest`; pictures: the product's."""


class DenoiseOptions(JobOptions):
    """Finds pictures that show something else than their product's others."""

    source: Path
    """A folder with a folder for each product, an archive of such, or a list with product_id."""
    rule: DenoiseRule = DenoiseRule()
    partition: PositiveInt = PARTITION
    """Pictures of one task, and what is left of the last product."""


def _pictures(work: Work[DenoiseOptions], _: int) -> Iterator[pa.Table]:
    yield from by_product(work.options.source, work.options.partition)


def _vectors(work: Work[DenoiseOptions], part: int) -> Iterator[pa.Table]:
    yield embed(rows(work.part("pictures", part)), peers_of(work.settings))


def _verdicts(work: Work[DenoiseOptions], part: int) -> Iterator[pa.Table]:
    yield verdicts(work.made("vectors", part), work.options.rule)


def verdicts(vectors: pa.Table, rule: DenoiseRule) -> pa.Table:
    """A row of `VERDICTS` for each picture that could be read, of rows of `VECTORS` that are sorted by product.

    Pictures without a product are "unjudged", as are those of a product whose vectors are by several models.
    """
    good = vectors.filter(pc.equal(vectors["problem"], "")).to_pylist()
    judged: list[dict[str, Any]] = []
    for product, own in groupby(good, key=lambda row: row["product_id"]):
        judged += _judged(product, list(own), rule)
    return pa.Table.from_pylist(judged, VERDICTS)


def _judged(product: str, own: list[dict[str, Any]], rule: DenoiseRule) -> list[dict[str, Any]]:
    known = [{name: row[name] for name in ("image_id", "uri", "product_id")} | {"pictures": len(own)} for row in own]
    if not product or len({row["model"] for row in own}) > 1:
        return [{**row, "verdict": "unjudged", "distance": 0.0, "nearest": ""} for row in known]
    points = np.stack([np.frombuffer(row["vector"], np.float32) for row in own])
    found = denoise(points, rule)
    kept = np.flatnonzero([verdict in ("kept", "other look") for verdict in found])
    if len(kept) == 0:
        return [
            {**row, "verdict": verdict, "distance": 0.0, "nearest": ""}
            for row, verdict in zip(known, found, strict=True)
        ]
    similar = points @ points[kept].T
    best = similar.argmax(axis=1)
    return [
        {
            **row,
            "verdict": verdict,
            "distance": max(0.0, 1.0 - float(similar[i, best[i]])),
            "nearest": known[kept[best[i]]]["image_id"],
        }
        for i, (row, verdict) in enumerate(zip(known, found, strict=True))
    ]


def _report(work: Work[DenoiseOptions], _: int) -> Iterable[pa.Table]:
    judged = work.whole("verdicts").to_pylist()
    read = work.whole("vectors", ["image_id", "problem"])
    problems = read.filter(pc.not_equal(read["problem"], "")).to_pylist()
    for name, data in noise_report(judged, problems, work.settings.fetch).items():
        work.report(name, data)
    yield proposals_table([noise(row) for row in judged if row["verdict"] == "noise"])


def noise(row: dict[str, Any]) -> Proposal:
    """That a picture of `VERDICTS` goes. As sure as it is far from everything that is kept."""
    return Proposal(
        kind="noise",
        subject={"image_id": row["image_id"], "product_id": row["product_id"]},
        score=min(1.0, row["distance"]),
        evidence={name: row[name] for name in ("uri", "distance", "nearest", "pictures")},
    )


DENOISE: Final = Job(
    "denoise",
    DenoiseOptions,
    (
        Stage("pictures", _pictures),
        Stage("vectors", _vectors, per_part_of("pictures")),
        Stage("verdicts", _verdicts, follows=True),
        Stage(PROPOSALS, _report),
        ASKING,
    ),
)

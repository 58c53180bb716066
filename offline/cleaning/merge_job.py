"""Style merging as a job: vectors by partition, and then all products at once, for each is told from all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import PositiveInt

from offline.cleaning.merge import Group, MergeRule, merge
from offline.cleaning.reports import merge_report
from offline.jobs.job import Job, JobInputError, JobOptions, Stage, Work, per_part_of
from offline.pictures.sources import PARTITION, by_product, rows
from offline.pictures.vectors import embed, peers_of, vectors_of
from offline.review.asking import ASKING
from offline.review.proposals import PROPOSALS, Proposal, proposals_table

_GROUPS: Final = pa.schema(
    [("product_ids", pa.list_(pa.string())), ("score", pa.float64()), ("steps", pa.list_(pa.string()))]
)
_SHOWN: Final = 3
"""Pictures of each product."""


class MergeOptions(JobOptions):
    """Finds products that are the same style."""

    source: Path
    """A folder with a folder for each product, an archive of such, or a list with product_id. Without duplicates."""
    rule: MergeRule = MergeRule()
    partition: PositiveInt = PARTITION
    """Pictures of one task, and what is left of the last product."""


def _pictures(work: Work[MergeOptions], _: int) -> Iterator[pa.Table]:
    yield from by_product(work.options.source, work.options.partition)


def _vectors(work: Work[MergeOptions], part: int) -> Iterator[pa.Table]:
    yield embed(rows(work.part("pictures", part)), peers_of(work.settings))


def _groups(work: Work[MergeOptions], _: int) -> Iterator[pa.Table]:
    table = work.whole("vectors", ["image_id", "product_id", "model", "vector", "problem"])
    known = table.filter(pc.and_(pc.equal(table["problem"], ""), pc.not_equal(table["product_id"], "")))
    models = known["model"].unique().to_pylist()
    if len(models) > 1:
        msg = f"the pictures are embedded by several models, {', '.join(models)}; expected categories of one model"
        raise JobInputError(msg)
    found = (
        merge(vectors_of(known), known["product_id"].to_pylist(), known["image_id"].to_pylist(), work.options.rule)
        if known.num_rows
        else []
    )
    yield pa.Table.from_pylist([_group_row(group) for group in found], _GROUPS)


def _group_row(group: Group) -> dict[str, Any]:
    steps = [
        f"{step.confusion:.0%} confused at {step.similarity:.2f}: {', '.join(step.first)} with {', '.join(step.second)}"
        for step in group.steps
    ]
    return {"product_ids": list(group.skus), "score": group.score, "steps": steps}


def _report(work: Work[MergeOptions], _: int) -> Iterable[pa.Table]:
    found = work.whole("groups").to_pylist()
    uris: dict[str, list[str]] = {}
    for part in work.parts("vectors", ["product_id", "uri", "problem"]):
        for row in part.to_pylist():
            own = uris.setdefault(row["product_id"], [])
            if not row["problem"] and len(own) < _SHOWN:
                own.append(row["uri"])
    for name, data in merge_report(found, uris, work.settings.fetch).items():
        work.report(name, data)
    yield proposals_table([_proposal(row, uris) for row in found])


def _proposal(row: dict[str, Any], uris: dict[str, list[str]]) -> Proposal:
    pictures = {product: uris.get(product, []) for product in row["product_ids"]}
    return Proposal(
        kind="merge",
        subject={"product_ids": row["product_ids"]},
        score=row["score"],
        evidence={"steps": row["steps"], "pictures": pictures},
    )


MERGE: Final = Job(
    "merge",
    MergeOptions,
    (
        Stage("pictures", _pictures),
        Stage("vectors", _vectors, per_part_of("pictures")),
        Stage("groups", _groups),
        Stage(PROPOSALS, _report),
        ASKING,
    ),
)

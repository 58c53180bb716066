"""Deduplication as a job: hashes by partition, near pairs by band, groups by connected component.

No step holds all pictures' rows and no step all pairs: what stands in memory at once are the distinct hashes, 8 bytes
each, and for each of them the component that it is in. Groups never reach over components, so that each of these is
grouped by itself, by the rule of dedup.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import PositiveInt
from threadpoolctl import threadpool_limits

from offline.cleaning.components import components
from offline.cleaning.dedup import Item, Near, groups
from offline.cleaning.hashing import fingerprint
from offline.cleaning.near_duplicates import CHUNKS, near_pairs_in
from offline.cleaning.reports import duplicates_report
from offline.jobs.job import Job, JobOptions, Stage, Work, per_part_of
from offline.pictures.files import PictureFiles, UnreadableError
from offline.pictures.sources import PARTITION, SCHEMA, Row, partitions, rows
from offline.review.asking import ASKING
from offline.review.proposals import PROPOSALS, Proposal, proposals_table
from shiwu.vision.decode import ImageError
from shiwu.wire.fetching import FetchSettings

HASHES: Final = pa.schema(
    [
        *SCHEMA,
        ("md5", pa.string()),
        ("average", pa.uint64()),
        ("difference", pa.uint64()),
        ("perceptual", pa.uint64()),
        ("chroma", pa.binary()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("problem", pa.string()),
    ]
)
Kind = Literal["average", "difference", "perceptual"]
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_SLICE: Final = 2_000_000
"""Hashes of a task of a band, about."""
DROPPED: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("image_id", "uri", "kept_id", "kept_uri")),
        ("distance", pa.int32()),
    ]
)


class DedupOptions(JobOptions):
    """Finds pictures that are the same."""

    source: Path
    """A folder, an archive or a list of pictures."""
    hash: Kind = "perceptual"
    """Which of a picture's hashes near ones are looked for by."""
    near: Near = Near()
    across_products: bool = False
    """Whether a picture may go for one of another product: so for training data, never for a gallery."""
    partition: PositiveInt = PARTITION
    """Pictures of one task."""


def _pictures(work: Work[DedupOptions], _: int) -> Iterator[pa.Table]:
    yield from partitions(work.options.source, work.options.partition)


def _hashes(work: Work[DedupOptions], part: int) -> Iterator[pa.Table]:
    yield hashed(rows(work.part("pictures", part)), work.settings.fetch)


def hashed(pictures: Iterable[Row], fetch: FetchSettings) -> pa.Table:
    """A row of `HASHES` for each picture, in their order."""
    # Products of small matrices, many at a time: threads of BLAS beside that cost more than they save.
    with PictureFiles(fetch) as files, threadpool_limits(limits=1, user_api="blas"):
        return pa.Table.from_pylist(files.each(lambda row: _hashed(row, files), pictures), HASHES)


def _hashed(row: Row, files: PictureFiles) -> dict[str, Any]:
    known = {name: getattr(row, name) for name in SCHEMA.names}
    try:
        found = fingerprint(files.read(row.uri))
    except (UnreadableError, ImageError) as error:
        return {**known, "problem": str(error)}
    size = {"width": found.width, "height": found.height}
    return {**known, "md5": found.md5, **found.hashes._asdict(), "chroma": found.chroma, **size, "problem": ""}


def _distinct(work: Work[DedupOptions], _: int) -> Iterator[pa.Table]:
    """The distinct hashes, in order."""
    parts = [np.unique(_good(part)[work.options.hash].to_numpy()) for part in work.parts("hashes")]
    yield pa.table({"hash": np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)})


def _good(part: pa.Table) -> pa.Table:
    return part.filter(pc.equal(part["problem"], ""))


def _pairs(work: Work[DedupOptions], task: int) -> Iterator[pa.Table]:
    """A slice of a band: the near pairs that are found there, as positions in `distinct`."""
    slices = _slices(work)
    hashes = work.whole("distinct")["hash"].to_numpy()
    found = near_pairs_in(hashes, work.options.near.radius, task // slices, slice_of=(task % slices, slices))
    found = found[np.lexsort((found[:, 1], found[:, 0]))]
    yield pa.table({"a": found[:, 0], "b": found[:, 1]})


def _slices(work: Work[DedupOptions]) -> int:
    return 1 + int(work.whole("distinct").num_rows) // _SLICE


def _components(work: Work[DedupOptions], _: int) -> Iterator[pa.Table]:
    """The pictures of components of two and more, whole components in a part."""
    hashes = work.whole("distinct")["hash"].to_numpy()
    edges = (np.stack([part["a"].to_numpy(), part["b"].to_numpy()], axis=1) for part in work.parts("pairs"))
    component = components(len(hashes), edges)
    sizes = np.zeros(len(hashes), np.int64)
    for part in work.parts("hashes", [work.options.hash, "problem"]):
        np.add.at(sizes, component[_places(part, work, hashes)], 1)
    members = [_members(part, work, hashes, component, sizes) for part in work.parts("hashes")]
    yield from _by_component(pa.concat_tables(members), work.options.partition)


def _places(part: pa.Table, work: Work[DedupOptions], hashes: NDArray[np.uint64]) -> NDArray[np.intp]:
    places: NDArray[np.intp] = np.searchsorted(hashes, _good(part)[work.options.hash].to_numpy())
    return places


def _members(
    part: pa.Table,
    work: Work[DedupOptions],
    hashes: NDArray[np.uint64],
    component: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> pa.Table:
    own = component[_places(part, work, hashes)]
    good = _good(part)
    return good.append_column("component", pa.array(own)).filter(pa.array(sizes[own] > 1))


def _by_component(members: pa.Table, size: int) -> Iterator[pa.Table]:
    ordered = members.sort_by([("component", "ascending"), ("image_id", "ascending")])
    labels = ordered["component"].to_numpy()
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    first = 0
    for start in [*starts.tolist(), len(labels)]:
        if start - first >= size or (start == len(labels) and start > first):
            yield ordered.slice(first, start - first)
            first = start


def _groups(work: Work[DedupOptions], part: int) -> Iterator[pa.Table]:
    options = work.options
    yield dropped(work.part("components", part), options.near, options.hash, across_products=options.across_products)


def dropped(table: pa.Table, near: Near, kind: Kind = "perceptual", *, across_products: bool = False) -> pa.Table:
    """The pictures that go for another one, of rows of `HASHES` that could be read, by `DROPPED`."""
    readable = _good(table).to_pylist()
    uris = {row["image_id"]: row["uri"] for row in readable}
    found = groups([_item(row, kind, across_products=across_products) for row in readable], near)
    gone = [
        {"image_id": one, "uri": uris[one], "kept_id": group.kept, "kept_uri": uris[group.kept], "distance": distance}
        for group in found
        for one, distance in group.dropped
    ]
    return pa.Table.from_pylist(gone, DROPPED)


def _item(row: dict[str, Any], kind: Kind, *, across_products: bool) -> Item:
    date = datetime.fromisoformat(row["date"]) if row["date"] else None
    others = tuple(row[other] for other in _KINDS if other != kind)
    product = "" if across_products else row["product_id"]
    return Item(row["image_id"], row[kind], row["width"], row["height"], date, others, row["chroma"], product)


def _report(work: Work[DedupOptions], _: int) -> Iterable[pa.Table]:
    gone = work.whole("groups").to_pylist() if work.count("groups") else []
    hashed = work.whole("hashes", ["image_id", "uri", "problem"])
    problems = hashed.filter(pc.not_equal(hashed["problem"], "")).to_pylist()
    for name, data in duplicates_report(
        gone, problems, hashed.num_rows, work.options.near.radius, work.settings.fetch
    ).items():
        work.report(name, data)
    yield proposals_table([duplicate(row) for row in gone])


def duplicate(row: dict[str, Any]) -> Proposal:
    """That a picture of `DROPPED` goes. Certain for equal hashes; each bit takes a little."""
    return Proposal(
        kind="duplicate",
        subject={"image_id": row["image_id"], "kept_id": row["kept_id"]},
        score=1.0 - row["distance"] / 64,
        evidence={name: row[name] for name in ("uri", "kept_uri", "distance")},
    )


DEDUP: Final = Job(
    "dedup",
    DedupOptions,
    (
        Stage("pictures", _pictures),
        Stage("hashes", _hashes, per_part_of("pictures")),
        Stage("distinct", _distinct),
        Stage("pairs", _pairs, lambda work: len(CHUNKS) * _slices(work)),
        Stage("components", _components),
        Stage("groups", _groups, per_part_of("components")),
        Stage(PROPOSALS, _report),
        ASKING,
    ),
)

"""The index against the catalogue: both are read in the order of their keys, side by side, in little memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import grpc
from rich.console import Console

from shiwu.v1 import catalog_pb2, search_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import ReferenceImage
from shiwu.v1.search_pb2_grpc import SearchServiceStub

_PAGE = 1000
_FEW = 16  # records of a page that is read for one picture
_TIMEOUT = 60.0
_TOLD = 100_000
"""Pictures between two lines of progress."""


@dataclass
class Findings:
    """Pictures, by what is wrong with them."""

    images: int = 0
    """Of the catalogue."""
    pending: int = 0
    """Whose rows say themselves that the index does not hold them yet: the catalogue is at it."""
    missing: list[str] = field(default_factory=list)
    """In no shard that their category is kept in."""
    misplaced: list[str] = field(default_factory=list)
    """In a shard too few or too many."""
    unknown: list[str] = field(default_factory=list)
    """In the index, and not in the catalogue."""

    @property
    def wrong(self) -> list[str]:
        return [*self.missing, *self.misplaced, *self.unknown]


class _Held(NamedTuple):
    image_id: str
    shard: str
    category: str


def check(search: grpc.Channel, catalog: grpc.Channel, console: Console) -> Findings:
    """Compares every picture of the catalogue with the versions that are served.

    What changes meanwhile may look wrong; so what looks wrong is looked at once more.
    """
    index, facts = SearchServiceStub(search), CatalogServiceStub(catalog)
    shards = index.DescribeShards(search_pb2.DescribeShardsRequest(), timeout=_TIMEOUT)
    served = sorted({each.model for shard in shards.shards for each in shard.indexes if each.serving})
    places, findings = _places(shards), Findings()
    holding = _in_order([_all_held(index, shards.shards, model) for model in served])
    held = next(holding, None)
    for image in _images(facts):
        findings.images += 1
        if findings.images % _TOLD == 0:
            console.print(f"{findings.images:,} pictures compared", style="dim")
        while held is not None and held[0] < image.image_id:
            findings.unknown.append(held[0])
            held = next(holding, None)
        mine: Sequence[_Held] = ()
        if held is not None and held[0] == image.image_id:
            mine, held = held[1], next(holding, None)
        if not image.HasField("index_time"):
            findings.pending += 1
        elif not mine:
            findings.missing.append(image.image_id)
        elif {each.shard for each in mine} != places.get(mine[0].category) or len({e.category for e in mine}) > 1:
            findings.misplaced.append(image.image_id)
    while held is not None:
        findings.unknown.append(held[0])
        held = next(holding, None)
    findings = _again(index, facts, findings)
    # After the rows were looked for: a deletion takes a picture out of the index first, and then its row away.
    findings.unknown = [each for each in findings.unknown if _is_held(index, shards.shards, served, each)]
    return findings


def repair(catalog: grpc.Channel, findings: Findings, console: Console) -> None:
    """Has the catalogue bring the index in line with its rows."""
    facts, wrong = CatalogServiceStub(catalog), findings.wrong
    for start in range(0, len(wrong), _PAGE):
        request = catalog_pb2.ReindexReferenceImagesRequest(image_ids=wrong[start : start + _PAGE])
        facts.ReindexReferenceImages(request, timeout=_TIMEOUT)
        console.print(f"{min(start + _PAGE, len(wrong)):,} of {len(wrong):,} put right", style="dim")


def _again(index: SearchServiceStub, facts: CatalogServiceStub, findings: Findings) -> Findings:
    """Only what is still wrong."""
    images = {image_id: _image(facts, image_id) for image_id in findings.wrong}
    findings.unknown = [image_id for image_id in findings.unknown if images[image_id] is None]
    findings.missing = _still(index, findings.missing, images.get)
    findings.misplaced = _still(index, findings.misplaced, images.get)
    return findings


def _still(
    index: SearchServiceStub, image_ids: Sequence[str], image: Callable[[str], ReferenceImage | None]
) -> list[str]:
    by_model: dict[str, list[str]] = {}
    for image_id in image_ids:
        row = image(image_id)
        if row is not None and row.HasField("index_time"):
            by_model.setdefault(row.model, []).append(image_id)
    still: list[str] = []
    for model, ids in by_model.items():
        for start in range(0, len(ids), _PAGE):
            request = search_pb2.FindMissingRequest(image_ids=ids[start : start + _PAGE], model=model)
            still += index.FindMissing(request, timeout=_TIMEOUT).image_ids
    return sorted(still)


def _image(facts: CatalogServiceStub, image_id: str) -> ReferenceImage | None:
    try:
        return facts.GetReferenceImage(catalog_pb2.GetReferenceImageRequest(image_id=image_id), timeout=_TIMEOUT)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return None


def _places(shards: search_pb2.DescribeShardsResponse) -> dict[str, set[str]]:
    """The shards that each category is kept in."""
    places = {category: {shard.name} for shard in shards.shards for category in shard.categories}
    for move in shards.moves:
        if move.phase in ("copying", "switched"):
            places[move.category] |= {move.source, move.target}
    return places


def _in_order(models: Sequence[Iterator[_Held]]) -> Iterator[tuple[str, list[_Held]]]:
    for image_id, held in groupby(heapq.merge(*models), key=itemgetter(0)):
        yield image_id, list(held)


def _is_held(
    index: SearchServiceStub, shards: Sequence[search_pb2.Shard], models: Sequence[str], image_id: str
) -> bool:
    """Whether any shard has the picture now."""
    listed = heapq.merge(*(_all_held(index, shards, model, after=image_id[:-1], page=_FEW) for model in models))
    return next((each.image_id for each in listed if each.image_id >= image_id), "") == image_id


def _all_held(
    index: SearchServiceStub, shards: Sequence[search_pb2.Shard], model: str, *, after: str = "", page: int = _PAGE
) -> Iterator[_Held]:
    names = [shard.name for shard in shards if any(each.model == model for each in shard.indexes)]
    return heapq.merge(*(_held(index, name, model, after, page) for name in names))


def _held(index: SearchServiceStub, shard: str, model: str, after: str, size: int) -> Iterator[_Held]:
    token = after
    while True:
        request = search_pb2.ListRecordsRequest(shard=shard, model=model, page_size=size, page_token=token)
        page = index.ListRecords(request, timeout=_TIMEOUT)
        yield from (_Held(record.image_id, shard, record.category) for record in page.records)
        token = page.next_page_token
        if not token:
            return


def _images(facts: CatalogServiceStub) -> Iterator[ReferenceImage]:
    token = ""
    while True:
        request = catalog_pb2.ListReferenceImagesRequest(page_size=_PAGE, page_token=token)
        page = facts.ListReferenceImages(request, timeout=_TIMEOUT)
        yield from page.reference_images
        token = page.next_page_token
        if not token:
            return

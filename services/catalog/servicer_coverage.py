# ruff: noqa: ARG002  (gRPC passes a context)
"""What scans read, and what they leave behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import grpc
import simplejpeg
from google.protobuf.empty_pb2 import Empty

from services.catalog import messages
from services.catalog.coverage import Coverage, Feedback, Gap, GapPlace, GapState, Replay, Verdict
from services.catalog.requests import given, one_page
from services.catalog.rules import CLUSTERED_GAP, GAP, REPLAYED_GAP, facts, optional, text
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import InvalidInputError
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources_pb
from shiwu.wire.categories import check_category
from shiwu.wire.ids import check_id
from shiwu.wire.vectors import to_vector

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")
G = TypeVar("G", pb.ClusteredGap, pb.ReplayedGap)

_MOST_PRODUCTS = 1_000
_MOST_ARTICLES = 100
_MOST_GAPS = 1_000
_COSTLY = ("crop", "vector", "demand")
"""Fields of gaps that a list is faster without."""
_CROP_SIDE = 320
_LARGEST_CROP = 1 << 20
"""Bytes; no JPEG of that side needs half of it."""
_STATES = {
    resources_pb.GAP_STATE_UNSPECIFIED: None,
    resources_pb.GAP_STATE_OPEN: GapState.OPEN,
    resources_pb.GAP_STATE_CLOSED: GapState.CLOSED,
}
_VERDICTS = {resources_pb.VERDICT_RIGHT: Verdict.RIGHT, resources_pb.VERDICT_WRONG: Verdict.WRONG}


class CoverageMethods:
    """A part of `CatalogService`."""

    _store: CatalogStore

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        product_ids = _described(request.product_ids)
        if not 0 <= request.max_articles <= _MOST_ARTICLES:
            msg = f"is {request.max_articles}; expected 0 to {_MOST_ARTICLES}"
            raise InvalidInputError(msg, field="max_articles")
        products, articles = await self._store.describe(product_ids, max_articles=request.max_articles)
        return pb.DescribeResponse(
            products=map(messages.description, products), articles=map(messages.article, articles)
        )

    async def RecordGap(self, request: pb.RecordGapRequest, context: Context) -> Empty:
        message = given(request, "gap")
        gap = Gap(
            **facts(message, "gap", GAP),
            # A scan of the future would never be old enough to be erased.
            scan_time=min(messages.moment(given(message, "scan_time"), "gap.scan_time"), datetime.now(UTC)),
            crop=_crop(message.crop, "gap.crop"),
            vector=_vector(request),
            model=text(200)(request.model, "model"),
        )
        await self._store.record_gap(gap)
        return Empty()

    async def ListGaps(self, request: pb.ListGapsRequest, context: Context) -> pb.ListGapsResponse:
        mask = _fields(request)
        filters: dict[str, Any] = {
            "category": optional(check_category)(request.category, "category"),
            "state": _one_of(_STATES, request.state, "state"),
            "cluster_id": optional(check_id)(request.cluster_id, "cluster_id"),
            "by_demand": _one_of({"": False, "demand desc": True}, request.order_by, "order_by"),
            "without": [name for name in _COSTLY if name not in mask],
        }

        async def read(after: str, limit: int) -> list[Gap]:
            return await self._store.list_gaps(before=_gap_place(after), limit=limit, **filters)

        page, token = await one_page(request, read, lambda gap: json.dumps(GapPlace.of(gap), default=_iso))
        gaps = [_masked(messages.gap(gap), mask) for gap in page]
        return pb.ListGapsResponse(gaps=gaps, next_page_token=token)

    async def ClusterGaps(self, request: pb.ClusterGapsRequest, context: Context) -> Empty:
        gaps = [facts(gap, f"gaps[{i}]", CLUSTERED_GAP) for i, gap in enumerate(_each_once(request.gaps, least=1))]
        await self._store.cluster_gaps({gap["scan_id"]: gap["cluster_id"] for gap in gaps})
        return Empty()

    async def RecordReplays(self, request: pb.RecordReplaysRequest, context: Context) -> Empty:
        replay_id = check_id(request.replay_id, "replay_id")
        replays = {}
        for i, gap in enumerate(_each_once(request.gaps, least=0)):
            field = f"gaps[{i}]"
            given = facts(gap, field, REPLAYED_GAP)
            if gap.found and not gap.product_id:
                msg = "is empty; expected the product that was found"
                raise InvalidInputError(msg, field=f"{field}.product_id")
            time = messages.moment(gap.index_time, f"{field}.index_time") if gap.HasField("index_time") else None
            replays[check_id(gap.scan_id, f"{field}.scan_id")] = Replay(replay_id, **given, index_time=time)
        await self._store.record_replays(replay_id, replays)
        return Empty()

    async def ListCoverage(self, request: pb.ListCoverageRequest, context: Context) -> pb.ListCoverageResponse:
        category = optional(check_category)(request.category, "category")

        async def read(after: str, limit: int) -> list[Coverage]:
            before = None
            if after:
                moment, replay_id, of = json.loads(after)
                before = datetime.fromisoformat(moment), replay_id, of
            return await self._store.list_coverage(before=before, limit=limit, category=category)

        def place(row: Coverage) -> str:
            return json.dumps([row.update_time, row.replay_id, row.category], default=_iso)

        page, token = await one_page(request, read, place)
        return pb.ListCoverageResponse(coverage=map(messages.coverage, page), next_page_token=token)

    async def RecordFeedback(self, request: pb.RecordFeedbackRequest, context: Context) -> Empty:
        scan_id = check_id(request.scan_id, "scan_id")
        if request.verdict not in _VERDICTS:
            msg = f"is {request.verdict}; expected VERDICT_RIGHT or VERDICT_WRONG"
            raise InvalidInputError(msg, field="verdict")
        product_id = optional(check_id)(request.product_id, "product_id")
        comment = text(2_000)(request.comment, "comment")
        await self._store.record_feedback(Feedback(scan_id, _VERDICTS[request.verdict], product_id, comment))
        return Empty()


def _described(product_ids: Sequence[str]) -> list[str]:
    if not 1 <= len(product_ids) <= _MOST_PRODUCTS:
        msg = f"has {len(product_ids):,} products; expected 1 to {_MOST_PRODUCTS:,}"
        raise InvalidInputError(msg, field="product_ids")
    return [check_id(product_id, f"product_ids[{position}]") for position, product_id in enumerate(product_ids)]


def _crop(data: bytes, field: str) -> bytes:
    if not data:
        return data
    if len(data) > _LARGEST_CROP:
        msg = f"has {len(data):,} bytes; expected at most {_LARGEST_CROP:,}"
        raise InvalidInputError(msg, field=field)
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        msg = "is not a JPEG file"
        raise InvalidInputError(msg, field=field) from error
    if max(height, width) > _CROP_SIDE:
        msg = f"has {width} x {height} pixels; expected at most {_CROP_SIDE} a side"
        raise InvalidInputError(msg, field=field)
    return data


def _vector(request: pb.RecordGapRequest) -> bytes:
    """Any model's: a gap may outlive the model that embeds today. A vector without its model means nothing."""
    if bool(request.vector) != bool(request.model):
        msg = "vector and model must be set together"
        raise InvalidInputError(msg, field="model" if request.vector else "vector")
    if request.vector:
        to_vector(request.vector, max(1, len(request.vector) // 4), "vector")
    return request.vector


def _gap_place(place: str) -> GapPlace | None:
    if not place:
        return None
    demand, cluster, moment, scan_id = json.loads(place)
    return GapPlace(demand, cluster, datetime.fromisoformat(moment), scan_id)


def _iso(moment: datetime) -> str:
    return moment.isoformat()


def _fields(request: pb.ListGapsRequest) -> set[str]:
    """Fields of the gaps to return."""
    known = set(resources_pb.Gap.DESCRIPTOR.fields_by_name)
    if not request.read_mask.paths:
        return known - {"vector"}
    for path in request.read_mask.paths:
        if path not in known:
            msg = f"{path!r} is no field of a gap; expected some of {', '.join(sorted(known))}"
            raise InvalidInputError(msg, field="read_mask")
    return set(request.read_mask.paths)


def _masked(gap: resources_pb.Gap, mask: Collection[str]) -> resources_pb.Gap:
    for field, _ in gap.ListFields():
        if field.name not in mask:
            gap.ClearField(field.name)
    return gap


def _one_of(allowed: Mapping[Any, T], value: object, field: str) -> T:
    if value not in allowed:
        msg = f"is {str(value)[:40]!r}; expected one of {', '.join(repr(each) for each in allowed)}"
        raise InvalidInputError(msg, field=field)
    return allowed[value]


def _each_once(gaps: Sequence[G], *, least: int) -> Sequence[G]:
    if not least <= len(gaps) <= _MOST_GAPS:
        msg = f"has {len(gaps):,} gaps; expected {least} to {_MOST_GAPS:,}"
        raise InvalidInputError(msg, field="gaps")
    if twice := [scan_id for scan_id, count in Counter(gap.scan_id for gap in gaps).items() if count > 1]:
        msg = f"names {twice[0]!r} twice; expected each gap once"
        raise InvalidInputError(msg, field="gaps")
    return gaps

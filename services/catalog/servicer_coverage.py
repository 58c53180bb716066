# ruff: noqa: ARG002  (gRPC passes a context)
"""What scans read, and what they leave behind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import simplejpeg
from google.protobuf.empty_pb2 import Empty

from services.catalog import messages
from services.catalog.requests import given, one_page
from services.catalog.resources import Feedback, Gap, Verdict
from services.catalog.rules import GAP, facts, optional, text
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import InvalidInputError
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources_pb
from shiwu.wire.categories import check_category
from shiwu.wire.ids import check_id
from shiwu.wire.vectors import to_vector

Context = grpc.aio.ServicerContext[Any, Any]

_MOST_PRODUCTS = 1_000
_MOST_ARTICLES = 100
_CROP_SIDE = 320
_LARGEST_CROP = 1 << 20
"""Bytes; no JPEG of that side needs half of it."""
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
        category = optional(check_category)(request.category, "category")

        async def read(after: str, limit: int) -> list[Gap]:
            return await self._store.list_gaps(before=_moment_and_id(after), limit=limit, category=category)

        page, token = await one_page(request, read, lambda gap: json.dumps([gap.scan_time.isoformat(), gap.scan_id]))
        return pb.ListGapsResponse(gaps=map(messages.gap, page), next_page_token=token)

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


def _moment_and_id(place: str) -> tuple[datetime, str] | None:
    if not place:
        return None
    moment, scan_id = json.loads(place)
    return datetime.fromisoformat(moment), scan_id

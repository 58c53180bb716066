"""The search service on the wire."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.search.index import ShardAnswer, ShardedIndex
from services.search.metrics import observe_answers
from services.search.operations import ShardState
from services.search.store import Hit, Record
from shiwu.chassis.errors import InvalidInputError, ServiceError
from shiwu.chassis.statuses import to_status
from shiwu.v1 import search_pb2 as pb
from shiwu.v1.search_pb2_grpc import SearchServiceServicer
from shiwu.wire.categories import check_category
from shiwu.wire.ids import check_id
from shiwu.wire.vectors import from_vector, to_vector

DOMAIN = "shiwu.v1.SearchService"
_DEFAULT_TOP_K = 100
_MOST = 1000
_MOST_NUMBERS = 4096
# As a collection's name spells it, with no two models spelt alike.
_MODEL = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*@[a-z0-9]+(\.[a-z0-9]+)*")


class SearchService(SearchServiceServicer):
    """Speaks protobuf outside and `ShardedIndex` inside; raises, never sets status codes."""

    def __init__(self, index: ShardedIndex) -> None:
        self._index = index

    async def Search(self, request: pb.SearchRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.SearchResponse:  # noqa: ARG002
        model = _model(request.model)
        top_k = request.top_k if request.HasField("top_k") else _DEFAULT_TOP_K
        if not 1 <= top_k <= _MOST:
            msg = f"is {top_k}; expected 1 to {_MOST}"
            raise InvalidInputError(msg, field="top_k")
        categories = {check_category(each, f"categories[{i}]") for i, each in enumerate(request.categories)}
        vector = to_vector(request.vector, _numbers(request.vector, "vector"), "vector")
        answers = await self._index.search(
            model,
            vector,
            top_k=top_k,
            categories=categories,
            include_vectors=request.include_vectors,
            group_by_product=request.group_by_product,
        )
        observe_answers(answers)
        return pb.SearchResponse(
            shards=[_result(answer) for answer in answers], partial=any(answer.error is not None for answer in answers)
        )

    async def Upsert(self, request: pb.UpsertRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.UpsertResponse:  # noqa: ARG002
        model = _model(request.model)
        _check_count(request.records, "records")
        dimension = await self._index.dimension(model) or _numbers(request.records[0].vector, "records[0].vector")
        records = await asyncio.to_thread(_records, request, dimension)
        serving = await self._index.upsert(model, records)
        return pb.UpsertResponse(index_time=_now(), serving=serving)

    async def Delete(self, request: pb.DeleteRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.DeleteResponse:  # noqa: ARG002
        await self._index.delete(_image_ids(request.image_ids))
        return pb.DeleteResponse(index_time=_now())

    async def FindMissing(
        self,
        request: pb.FindMissingRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> pb.FindMissingResponse:
        missing = await self._index.find_missing(_model(request.model), _image_ids(request.image_ids))
        return pb.FindMissingResponse(image_ids=missing)

    async def ServeModel(
        self,
        request: pb.ServeModelRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> pb.ServeModelResponse:
        if request.max_missing < 0:
            msg = f"is {request.max_missing}; expected 0 or more"
            raise InvalidInputError(msg, field="max_missing")
        await self._index.serve(_model(request.model), max_missing=request.max_missing)
        return pb.ServeModelResponse()

    async def DropModel(
        self,
        request: pb.DropModelRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> pb.DropModelResponse:
        await self._index.drop(_model(request.model))
        return pb.DropModelResponse()

    async def ListRecords(
        self,
        request: pb.ListRecordsRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> pb.ListRecordsResponse:
        limit = request.page_size if request.HasField("page_size") else _MOST
        if not 1 <= limit <= _MOST:
            msg = f"is {limit}; expected 1 to {_MOST}"
            raise InvalidInputError(msg, field="page_size")
        after = check_id(request.page_token, "page_token") if request.page_token else ""
        page = await self._index.page(request.shard, _model(request.model), after=after, limit=limit)
        records = [_record_message(each, with_vector=request.include_vectors) for each in page.records]
        return pb.ListRecordsResponse(records=records, next_page_token=page.after)

    async def PruneShards(
        self,
        request: pb.PruneShardsRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> pb.PruneShardsResponse:
        await self._index.prune()
        return pb.PruneShardsResponse()

    async def DescribeShards(
        self,
        request: pb.DescribeShardsRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> pb.DescribeShardsResponse:
        return pb.DescribeShardsResponse(
            shards=[_shard(state) for state in await self._index.describe()],
            moves=[pb.CategoryMove(**move.model_dump()) for move in self._index.moves],
        )


def _model(model: str) -> str:
    if not _MODEL.fullmatch(model) or len(model) > 128:
        msg = f'is {model!r}; expected name@version, like "embedder-lite0@0.1", at most 128 characters'
        raise InvalidInputError(msg, field="model")
    return model


def _numbers(vector: bytes, field: str) -> int:
    """How many float32 numbers a vector has; whether they are the model's, the index knows."""
    numbers, rest = divmod(len(vector), 4)
    if rest or not 1 <= numbers <= _MOST_NUMBERS:
        msg = f"has {len(vector)} bytes; expected the model's float32 numbers, 4 bytes each, at most {_MOST_NUMBERS}"
        raise InvalidInputError(msg, field=field)
    return numbers


def _check_count(items: Sequence[object], field: str) -> None:
    if not 1 <= len(items) <= _MOST:
        msg = f"has {len(items)} entries; expected 1 to {_MOST}"
        raise InvalidInputError(msg, field=field)


def _image_ids(image_ids: Sequence[str]) -> list[str]:
    _check_count(image_ids, "image_ids")
    return [check_id(each, f"image_ids[{i}]") for i, each in enumerate(image_ids)]


def _records(request: pb.UpsertRequest, dimension: int) -> list[Record]:
    return [_record(record, dimension, f"records[{i}]") for i, record in enumerate(request.records)]


def _record(record: pb.VectorRecord, dimension: int, field: str) -> Record:
    return Record(
        image_id=check_id(record.image_id, f"{field}.image_id"),
        product_id=check_id(record.product_id, f"{field}.product_id"),
        style_id=check_id(record.style_id, f"{field}.style_id") if record.style_id else "",
        category=check_category(record.category, f"{field}.category"),
        vector=to_vector(record.vector, dimension, f"{field}.vector"),
    )


def _record_message(record: Record, *, with_vector: bool) -> pb.VectorRecord:
    return pb.VectorRecord(
        image_id=record.image_id,
        product_id=record.product_id,
        style_id=record.style_id,
        category=record.category,
        vector=from_vector(record.vector) if with_vector else b"",
    )


def _result(answer: ShardAnswer) -> pb.ShardResult:
    result = pb.ShardResult(
        shard=answer.shard, hits=[_hit(hit) for hit in answer.hits], elapsed_ms=answer.seconds * 1000
    )
    _tell(result, answer.error)
    return result


def _hit(hit: Hit) -> pb.Hit:
    return pb.Hit(
        image_id=hit.image_id,
        product_id=hit.product_id,
        style_id=hit.style_id,
        category=hit.category,
        similarity=hit.similarity,
        vector=hit.vector,
    )


def _shard(state: ShardState) -> pb.Shard:
    shard = pb.Shard(
        name=state.shard.name,
        categories=state.shard.categories,
        endpoint=state.shard.address,
        indexes=[
            pb.ShardIndex(
                model=index.model,
                collection=index.collection,
                dimension=index.dimension,
                images=images,
                serving=index.serving,
                retiring=index.retiring,
            )
            for index, images in state.indexes
        ],
        p50_ms=1000 * (state.latency.quantile(0.5) or 0.0),
        p95_ms=1000 * (state.latency.quantile(0.95) or 0.0),
    )
    _tell(shard, state.error)
    return shard


def _tell(message: pb.ShardResult | pb.Shard, error: ServiceError | None) -> None:
    if error is not None:
        message.error.CopyFrom(to_status(error, DOMAIN)[1])


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now

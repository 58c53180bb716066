"""The ports over gRPC. Foreign errors become ours here, and so does nonsense: it makes the part unavailable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import grpc

from services.gateway.ports import (
    Box,
    Detected,
    Detection,
    EmbedderModel,
    Feedback,
    Gap,
    Hit,
    Scores,
    ShardHits,
    Share,
    Vector,
    Vote,
)
from shiwu.chassis.channel import foreign_errors
from shiwu.chassis.errors import InvalidInputError, UnavailableError
from shiwu.v1 import catalog_pb2, classifier_pb2, detector_pb2, embedder_pb2, search_pb2, vision_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import VERDICT_RIGHT, VERDICT_WRONG
from shiwu.v1.catalog_resources_pb2 import Gap as GapMessage
from shiwu.v1.classifier_pb2_grpc import ClassifierServiceStub
from shiwu.v1.detector_pb2_grpc import DetectorServiceStub
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceStub
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.vision.agreement import Agreement
from shiwu.vision.local_features import SIDE
from shiwu.vision.resize import Image, shrunk
from shiwu.wire.boxes import to_box
from shiwu.wire.images import raw_image
from shiwu.wire.vectors import from_vector, to_vector

# Cosines of float32 unit vectors may leave [-1, 1] by rounding, and no further.
_MAX_COSINE = 1.0 + 1e-3


class GrpcDetector:
    """The detector service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = DetectorServiceStub(channel)

    async def detect(self, photo: Image, *, seconds: float) -> Detection:
        request = detector_pb2.DetectRequest(image=raw_image(photo))
        with foreign_errors("detector"):
            answer = await self._stub.Detect(request, timeout=seconds)
        with _sense("detector"):
            objects = [_detected(each, f"objects[{i}]") for i, each in enumerate(answer.objects)]
        return Detection(objects, answer.model)


class GrpcEmbedder:
    """The embedder service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = EmbedderServiceStub(channel)

    async def models(self, *, seconds: float) -> Sequence[EmbedderModel]:
        with foreign_errors("embedder"):
            answer = await self._stub.ListModels(embedder_pb2.ListModelsRequest(), timeout=seconds)
        with _sense("embedder"):
            if not answer.models:
                msg = "it has no model"
                raise InvalidInputError(msg, field="models")
            return [_model(each, f"models[{i}]") for i, each in enumerate(answer.models)]

    async def embed(self, crops: Sequence[Image], model: EmbedderModel, *, seconds: float) -> Sequence[Vector]:
        request = embedder_pb2.EmbedRequest(images=[raw_image(crop) for crop in crops], model=model.id)
        with foreign_errors("embedder"):
            answer = await self._stub.Embed(request, timeout=seconds)
        with _sense("embedder"):
            if len(answer.embeddings) != len(crops):
                msg = f"{len(answer.embeddings)} vectors for {len(crops)} pictures"
                raise InvalidInputError(msg, field="embeddings")
            return [
                to_vector(each.vector, model.dimension, f"embeddings[{i}].vector")
                for i, each in enumerate(answer.embeddings)
            ]


class GrpcIndex:
    """The search service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = SearchServiceStub(channel)

    async def search(
        self,
        vector: Vector,
        model: str,
        *,
        top_k: int,
        categories: Sequence[str],
        include_vectors: bool,
        seconds: float,
    ) -> Sequence[ShardHits]:
        request = search_pb2.SearchRequest(
            vector=from_vector(vector),
            model=model,
            top_k=top_k,
            categories=categories,
            include_vectors=include_vectors,
        )
        with foreign_errors("search"):
            answer = await self._stub.Search(request, timeout=seconds)
        return [_shard_hits(each) for each in answer.shards]


class GrpcVoter:
    """The classifier service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ClassifierServiceStub(channel)

    async def vote(self, detector: Scores, neighbours: Sequence[Hit], *, seconds: float) -> Vote:
        request = classifier_pb2.VoteRequest(
            detector=[vision_pb2.CategoryScore(category=category, score=score) for category, score in detector],
            neighbors=[
                classifier_pb2.Neighbor(image_id=hit.image_id, category=hit.category, similarity=hit.similarity)
                for hit in neighbours
            ],
        )
        with foreign_errors("classifier"):
            answer = await self._stub.Vote(request, timeout=seconds)
        if not answer.categories:
            msg = "classifier: it answered without any category"
            raise UnavailableError(msg)
        return Vote(
            [(each.category, each.score) for each in answer.categories],
            answer.detector_share,
            [Share(each.image_id, each.category, each.share) for each in answer.shares],
        )


class GrpcCatalog:
    """The catalogue service. What it says of products stays the message that it sent."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = CatalogServiceStub(channel)

    async def describe(
        self,
        product_ids: Sequence[str],
        *,
        max_articles: int,
        seconds: float,
    ) -> catalog_pb2.DescribeResponse:
        request = catalog_pb2.DescribeRequest(product_ids=product_ids, max_articles=max_articles)
        with foreign_errors("catalog"):
            return await self._stub.Describe(request, timeout=seconds)

    async def compare(self, crop: Image, image_ids: Sequence[str], *, seconds: float) -> Mapping[str, Agreement]:
        request = catalog_pb2.CompareReferenceImagesRequest(image=raw_image(shrunk(crop, SIDE)), image_ids=image_ids)
        with foreign_errors("catalog"):
            answer = await self._stub.CompareReferenceImages(request, timeout=seconds)
        with _sense("catalog"):
            return {each.image_id: _agreement(each, f"agreements[{i}]") for i, each in enumerate(answer.agreements)}

    async def record_gap(self, gap: Gap, *, seconds: float) -> None:
        message = GapMessage(
            scan_id=gap.scan_id,
            category=gap.category,
            confidence=gap.confidence,
            crop=gap.crop,
            refused_product_id=gap.refused_product_id,
        )
        message.scan_time.FromDatetime(gap.scan_time)
        request = catalog_pb2.RecordGapRequest(gap=message, vector=from_vector(gap.vector), model=gap.model)
        with foreign_errors("catalog"):
            await self._stub.RecordGap(request, timeout=seconds)

    async def record_feedback(self, feedback: Feedback, *, seconds: float) -> None:
        request = catalog_pb2.RecordFeedbackRequest(
            scan_id=feedback.scan_id,
            verdict=VERDICT_RIGHT if feedback.verdict == "right" else VERDICT_WRONG,
            product_id=feedback.product_id,
            comment=feedback.comment,
        )
        with foreign_errors("catalog"):
            await self._stub.RecordFeedback(request, timeout=seconds)


def _detected(message: vision_pb2.DetectedObject, field: str) -> Detected:
    categories = [(each.category, each.score) for each in message.categories]
    scores = (message.score, *(score for _, score in categories))
    if not all(0.0 <= score <= 1.0 for score in scores):
        msg = "a score is not from 0 to 1"
        raise InvalidInputError(msg, field=field)
    return Detected(Box(*to_box(message.box, f"{field}.box")), message.score, categories)


def _agreement(message: catalog_pb2.Agreement, field: str) -> Agreement:
    found = Agreement(message.features, message.coverage, message.colour, message.detail)
    if found.features < 0 or not all(0.0 <= share <= 1.0 for share in found[1:]):
        msg = f"{found} makes no sense"
        raise InvalidInputError(msg, field=field)
    return found


def _model(message: embedder_pb2.EmbedderModel, field: str) -> EmbedderModel:
    if not message.model or message.dimension < 1 or message.input_size < 1 or not 0.0 <= message.crop_margin <= 1.0:
        msg = "its model, dimension, input_size or crop_margin makes no sense"
        raise InvalidInputError(msg, field=field)
    return EmbedderModel(
        message.model, message.dimension, frozenset(message.categories), message.crop_margin, message.input_size
    )


def _shard_hits(message: search_pb2.ShardResult) -> ShardHits:
    if message.HasField("error"):
        return ShardHits(message.shard, (), message.error.message or f"code {message.error.code}")
    hits: Sequence[Hit] = message.hits
    if not all(-_MAX_COSINE <= hit.similarity <= _MAX_COSINE for hit in hits):
        return ShardHits(message.shard, (), "it answered with a similarity that is no cosine")
    return ShardHits(message.shard, hits)


@contextmanager
def _sense(part: str) -> Iterator[None]:
    """What the part answered is checked inside."""
    try:
        yield
    except InvalidInputError as error:
        msg = f"{part}: it answered with nonsense: {error}"
        raise UnavailableError(msg) from error

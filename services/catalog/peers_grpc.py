"""The ports of peers.py over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc

from services.catalog.peers import EmbeddingModel, FoundObject
from services.catalog.pictures import shrunk
from shiwu.chassis.channel import foreign_errors
from shiwu.chassis.errors import UnavailableError
from shiwu.v1 import detector_pb2, embedder_pb2
from shiwu.v1.detector_pb2_grpc import DetectorServiceStub
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceStub
from shiwu.vision.resize import Image
from shiwu.wire.images import raw_image

_DETECT_SIDE = 640
"""Pixels of the longer side that are sent: more than any detector reads, and not megabytes."""
_TIMEOUT = 20.0
"""Seconds for one call; less if the caller's deadline is nearer."""


class GrpcDetector:
    """`peers.Detector` for a DetectorService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = DetectorServiceStub(channel)

    async def detect(self, image: Image) -> list[FoundObject]:
        request = await asyncio.to_thread(_detect_request, image)
        with foreign_errors("detector"):
            response = await self._stub.Detect(request, timeout=_TIMEOUT)
        return [
            FoundObject(
                (found.box.x_min, found.box.y_min, found.box.x_max, found.box.y_max),
                found.score,
                found.categories[0].category if found.categories else "",
            )
            for found in response.objects
        ]


def _detect_request(image: Image) -> detector_pb2.DetectRequest:
    height, width = image.shape[:2]
    if max(height, width) > _DETECT_SIDE:
        image = shrunk(image, _DETECT_SIDE)
    return detector_pb2.DetectRequest(image=raw_image(image))


class GrpcEmbedder:
    """`peers.Embedder` for an EmbedderService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = EmbedderServiceStub(channel)

    async def models(self) -> list[EmbeddingModel]:
        with foreign_errors("embedder"):
            response = await self._stub.ListModels(embedder_pb2.ListModelsRequest(), timeout=_TIMEOUT)
        if not response.models:
            msg = "embedder: has no models"
            raise UnavailableError(msg)
        return [
            EmbeddingModel(item.model, tuple(item.categories), item.crop_margin, item.input_size)
            for item in response.models
        ]

    async def embed(self, crops: Sequence[Image], model: str) -> list[bytes]:
        request = embedder_pb2.EmbedRequest(images=[raw_image(crop) for crop in crops], model=model)
        with foreign_errors("embedder"):
            response = await self._stub.Embed(request, timeout=_TIMEOUT)
        if len(response.embeddings) != len(crops) or response.model != model:
            msg = f"embedder: {len(response.embeddings)} vectors of {response.model} for {len(crops)} crops of {model}"
            raise UnavailableError(msg)
        return [embedding.vector for embedding in response.embeddings]

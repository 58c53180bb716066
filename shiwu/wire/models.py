"""What detector and embedder are asked, in the terms of those who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from shiwu.chassis.channel import foreign_errors
from shiwu.chassis.errors import UnavailableError
from shiwu.v1 import detector_pb2, embedder_pb2
from shiwu.v1.detector_pb2_grpc import DetectorServiceStub
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceStub
from shiwu.vision.resize import Image, shrunk_by_halves
from shiwu.wire.images import raw_image

_DETECT_SIDE = 640
"""Pixels of the longer side that are sent at most, and until a detector has said what it reads."""
_TIMEOUT = 20.0
"""Seconds for one call; less if the caller's deadline is nearer."""


@dataclass(frozen=True, slots=True)
class FoundObject:
    """A thing in a picture."""

    box: tuple[float, float, float, float]
    """x_min, y_min, x_max, y_max in shares of the picture."""
    score: float
    """How sure the detector is that a product is there, 0 to 1."""
    category: str
    """Its most likely category."""


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model of the embedder."""

    model: str
    """name@version."""
    categories: tuple[str, ...]
    """Those it is kept for; empty: all that no other model is kept for."""
    crop_margin: float
    """How far a crop reaches beyond its box on each side, as a share of the box's side."""
    input_size: int
    """Longer side of a merchant's picture's crop, pixels, that it makes use of."""
    dimension: int
    """Numbers in a vector."""


def model_for(category: str, models: Sequence[EmbeddingModel]) -> EmbeddingModel:
    """The model that embeds products of this category: the one kept for it, else the default one."""
    return next((model for model in models if category in model.categories), models[0])


def versions_for(category: str, models: Sequence[EmbeddingModel]) -> list[EmbeddingModel]:
    """The model that embeds products of this category, and after it the other versions of it that the embedder runs.

    While a new version takes over from an old one, pictures get a vector by each.
    """
    own = model_for(category, models)
    name = own.model.partition("@")[0]
    return [own, *(model for model in models if model.model != own.model and model.model.partition("@")[0] == name)]


class GrpcDetector:
    """A DetectorService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = DetectorServiceStub(channel)
        self._side = _DETECT_SIDE

    async def detect(self, image: Image) -> list[FoundObject]:
        """The products in an RGB picture, best first. Raises UnavailableError, OverloadedError, DeadlineError."""
        request = await asyncio.to_thread(_detect_request, image, self._side)
        with foreign_errors("detector"):
            response = await self._stub.Detect(request, timeout=_TIMEOUT)
        self._side = min(response.input_size or _DETECT_SIDE, _DETECT_SIDE)
        return [
            FoundObject(
                (found.box.x_min, found.box.y_min, found.box.x_max, found.box.y_max),
                found.score,
                found.categories[0].category if found.categories else "",
            )
            for found in response.objects
        ]


def _detect_request(image: Image, side: int) -> detector_pb2.DetectRequest:
    return detector_pb2.DetectRequest(image=raw_image(shrunk_by_halves(image, side)))


class GrpcEmbedder:
    """An EmbedderService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = EmbedderServiceStub(channel)

    async def models(self) -> list[EmbeddingModel]:
        """The models, the default one first; at least one. Raises UnavailableError, DeadlineError."""
        with foreign_errors("embedder"):
            response = await self._stub.ListModels(embedder_pb2.ListModelsRequest(), timeout=_TIMEOUT)
        if not response.models:
            msg = "embedder: has no models"
            raise UnavailableError(msg)
        return [
            EmbeddingModel(
                item.model,
                tuple(item.categories),
                item.crop_margin,
                item.gallery_input_size or item.input_size,
                item.dimension,
            )
            for item in response.models
        ]

    async def embed(self, crops: Sequence[Image], model: str) -> list[bytes]:
        """A vector for each RGB crop of a merchant's picture, little-endian float32.

        Raises UnavailableError, OverloadedError, DeadlineError; NotFoundError if there is no such model (any more).
        """
        request = embedder_pb2.EmbedRequest(images=[raw_image(crop) for crop in crops], model=model, gallery=True)
        with foreign_errors("embedder"):
            response = await self._stub.Embed(request, timeout=_TIMEOUT)
        if len(response.embeddings) != len(crops) or response.model != model:
            msg = f"embedder: {len(response.embeddings)} vectors of {response.model} for {len(crops)} crops of {model}"
            raise UnavailableError(msg)
        return [embedding.vector for embedding in response.embeddings]

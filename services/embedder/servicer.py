"""The embedder on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc

from services.embedder.embedding import Embedder
from shiwu.chassis.errors import InvalidInputError, NotFoundError
from shiwu.v1 import embedder_pb2 as pb
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceServicer
from shiwu.vision.decode import Limits
from shiwu.vision.resize import Image
from shiwu.wire.images import to_photo
from shiwu.wire.vectors import from_vector


class EmbedderService(EmbedderServiceServicer):
    """Speaks protobuf outside and `Embedder` inside; raises, never sets status codes."""

    def __init__(self, embedders: Mapping[str, Embedder], *, max_images: int, limits: Limits) -> None:
        """embedders: by model id, the default one first."""
        self._embedders = embedders
        self._default = next(iter(embedders.values()))
        self._max_images = max_images
        self._limits = limits

    async def Embed(self, request: pb.EmbedRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.EmbedResponse:  # noqa: ARG002
        embedder = self._embedder(request.model)
        crops = await asyncio.to_thread(self._crops, request, embedder)
        vectors = await embedder.embed(crops)
        return pb.EmbedResponse(
            embeddings=[pb.Embedding(vector=from_vector(vector)) for vector in vectors], model=embedder.manifest.id
        )

    async def ListModels(
        self,
        request: pb.ListModelsRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=[_message(each) for each in self._embedders.values()])

    def _embedder(self, model: str) -> Embedder:
        if not model:
            return self._default
        if model not in self._embedders:
            msg = f"model: no model {model!r}; this embedder runs {', '.join(self._embedders)}"
            raise NotFoundError(msg)
        return self._embedders[model]

    def _crops(self, request: pb.EmbedRequest, embedder: Embedder) -> list[list[Image]]:
        if not 1 <= len(request.images) <= self._max_images:
            msg = f"has {len(request.images)} pictures; expected 1 to {self._max_images}"
            raise InvalidInputError(msg, field="images")
        # A stretched picture needs enough pixels on its shorter side, too; twice as many on the longer mostly do.
        how = embedder.manifest.preprocessing
        enough = how.wanted_side(gallery=request.gallery) * (2 if how.fit == "stretch" else 1)
        return [
            embedder.views(to_photo(image, f"images[{i}]", self._limits, enough).pixels, gallery=request.gallery)
            for i, image in enumerate(request.images)
        ]


def _message(embedder: Embedder) -> pb.EmbedderModel:
    manifest = embedder.manifest
    return pb.EmbedderModel(
        model=manifest.id,
        dimension=manifest.dimension,
        categories=manifest.categories,
        crop_margin=manifest.preprocessing.margin,
        input_size=manifest.preprocessing.wanted_side(),
        gallery_input_size=manifest.preprocessing.wanted_side(gallery=True),
    )

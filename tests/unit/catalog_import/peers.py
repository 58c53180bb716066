"""The services that the catalogue needs, small enough to see through, behind real gRPC servers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import cv2
import numpy as np

from shiwu.chassis.errors import NotFoundError, UnavailableError
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.v1 import detector_pb2, embedder_pb2, search_pb2, vision_pb2
from shiwu.v1.detector_pb2_grpc import DetectorServiceServicer, add_DetectorServiceServicer_to_server
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceServicer, add_EmbedderServiceServicer_to_server
from shiwu.v1.search_pb2_grpc import SearchServiceServicer, add_SearchServiceServicer_to_server
from shiwu.vision.decode import Limits
from shiwu.wire.images import to_photo


@dataclass
class Switch:
    """Lets a peer be down, or slow, and counts what it is asked."""

    down: bool = False
    seconds: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)

    async def pass_through(self, method: str, amount: int = 1) -> None:
        if self.down:
            msg = "switched off"
            raise UnavailableError(msg)
        self.calls[method] += amount
        await asyncio.sleep(self.seconds)


class Detector(DetectorServiceServicer):
    """Finds what is not white, as a shoe."""

    def __init__(self) -> None:
        self.switch = Switch()
        self.input_size = 0
        """What it says that it reads; 0, as of one that does not say."""
        self.sides: list[int] = []
        """Longer sides of what it was sent."""

    async def Detect(self, request, context):
        await self.switch.pass_through("Detect")
        self.sides.append(max(request.image.raw.width, request.image.raw.height))
        pixels = to_photo(request.image, "image", Limits()).pixels
        height, width = pixels.shape[:2]
        rows, columns = np.nonzero((pixels < 250).any(axis=2))
        objects = []
        if len(rows):
            box = vision_pb2.Box(
                x_min=columns.min() / width,
                y_min=rows.min() / height,
                x_max=(columns.max() + 1) / width,
                y_max=(rows.max() + 1) / height,
            )
            objects.append(_object(box, 0.9, "shoes"))
        return detector_pb2.DetectResponse(objects=objects, model="detector-test@1", input_size=self.input_size)


def _object(box: vision_pb2.Box, score: float, category: str) -> vision_pb2.DetectedObject:
    scores = [vision_pb2.CategoryScore(category=category, score=score)]
    return vision_pb2.DetectedObject(box=box, score=score, categories=scores)


class Embedder(EmbedderServiceServicer):
    """Vectors are the crop, shrunk to 4 x 4 pixels."""

    def __init__(self) -> None:
        self.switch = Switch()
        self.version = 1
        self.others: tuple[int, ...] = ()
        """Further versions that run beside it."""
        self.gone: set[str] = set()
        """Models that one process of a rolling embedder still names, and that the one which embeds has no more."""
        self.sizes: list[tuple[int, int]] = []
        self.gallery_input_size = 0

    def models(self):
        return [
            model
            for version in (self.version, *self.others)
            for model in (
                embedder_pb2.EmbedderModel(
                    model=f"general@{version}",
                    dimension=48,
                    crop_margin=0.0,
                    input_size=64,
                    gallery_input_size=self.gallery_input_size,
                ),
                embedder_pb2.EmbedderModel(
                    model=f"bags@{version}", dimension=48, categories=["bags"], crop_margin=0.1, input_size=64
                ),
            )
        ]

    async def ListModels(self, request, context):
        await self.switch.pass_through("ListModels")
        return embedder_pb2.ListModelsResponse(models=self.models())

    async def Embed(self, request, context):
        await self.switch.pass_through("Embed", len(request.images))
        if request.model not in {model.model for model in self.models()} - self.gone:
            msg = f"model {request.model!r} is not known"
            raise NotFoundError(msg)
        assert request.gallery
        vectors = []
        for image in request.images:
            pixels = to_photo(image, "images", Limits()).pixels
            self.sizes.append(pixels.shape[:2])
            small = cv2.resize(pixels, (4, 4), interpolation=cv2.INTER_AREA).astype("<f4").ravel()
            small += float(request.model.partition("@")[2])  # versions see otherwise
            vectors.append(embedder_pb2.Embedding(vector=(small / np.linalg.norm(small)).astype("<f4").tobytes()))
        return embedder_pb2.EmbedResponse(embeddings=vectors, model=request.model)


class Search(SearchServiceServicer):
    """A dictionary."""

    def __init__(self) -> None:
        self.switch = Switch()
        self.records: dict[str, tuple[str, search_pb2.VectorRecord]] = {}
        self.by_model: dict[tuple[str, str], search_pb2.VectorRecord] = {}

    async def Upsert(self, request, context):
        await self.switch.pass_through("Upsert", len(request.records))
        for record in request.records:
            self.records[record.image_id] = (request.model, record)
            self.by_model[request.model, record.image_id] = record
        response = search_pb2.UpsertResponse()
        response.index_time.GetCurrentTime()
        return response

    async def Delete(self, request, context):
        await self.switch.pass_through("Delete")
        for image_id in request.image_ids:
            self.records.pop(image_id, None)
            for key in [key for key in self.by_model if key[1] == image_id]:
                del self.by_model[key]
        return search_pb2.DeleteResponse()

    async def FindMissing(self, request, context):
        await self.switch.pass_through("FindMissing")
        held = {image_id for model, image_id in self.by_model if model == request.model} & self.records.keys()
        missing = [each for each in request.image_ids if each not in held]
        return search_pb2.FindMissingResponse(image_ids=missing)


@dataclass
class Peers:
    """All three, and where they listen."""

    detector: Detector
    embedder: Embedder
    search: Search
    targets: dict[str, str]


@asynccontextmanager
async def serving() -> AsyncIterator[Peers]:
    peers = Peers(Detector(), Embedder(), Search(), {})
    settings = ServerSettings(port=0, drain_seconds=0.1)
    adders = {
        "detector": lambda server: add_DetectorServiceServicer_to_server(peers.detector, server),
        "embedder": lambda server: add_EmbedderServiceServicer_to_server(peers.embedder, server),
        "search": lambda server: add_SearchServiceServicer_to_server(peers.search, server),
    }
    async with AsyncExitStack() as stack:
        for name, add in adders.items():
            service = f"shiwu.v1.{name.capitalize()}Service"
            port = await stack.enter_async_context(running(service, add, settings))
            peers.targets[name] = f"127.0.0.1:{port}"
        yield peers

"""A detector, an embedder, an index and a catalogue that answer at once, with what was made before.

python -m evaluation.instant_peers HOST:PORT MODEL

They stand behind a real gateway where its own speed is measured, never where answers matter.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import uvloop
from google.protobuf.empty_pb2 import Empty
from google.type.money_pb2 import Money
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from shiwu.categories import CATEGORIES
from shiwu.inference.manifest import read_manifest
from shiwu.inference.released import EMBEDDER
from shiwu.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    detector_pb2,
    detector_pb2_grpc,
    embedder_pb2,
    embedder_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)
from shiwu.v1.catalog_resources_pb2 import Article, Offer, Product
from shiwu.v1.vision_pb2 import Box, CategoryScore, DetectedObject

_DIMENSION: Final = 256
_HITS: Final = 100
_SHARDS: Final = (CATEGORIES[:3], CATEGORIES[3:6], CATEGORIES[6:9], CATEGORIES[9:])
_Context = grpc.aio.ServicerContext[Any, Any]


def model_id(models: Path) -> str:
    """The released embedder, which the gateway's tuning is for."""
    return read_manifest(models / EMBEDDER).id


class InstantDetector(detector_pb2_grpc.DetectorServiceServicer):
    def __init__(self) -> None:
        scores = np.linspace(0.9, 0.01, len(CATEGORIES))
        found = DetectedObject(
            box=Box(x_min=0.2, y_min=0.2, x_max=0.8, y_max=0.8),
            score=0.9,
            categories=[CategoryScore(category=c, score=s) for c, s in zip(CATEGORIES, scores, strict=True)],
        )
        self._answer = detector_pb2.DetectResponse(objects=[found], model="detector-instant@1")

    async def Detect(self, _request: Any, _context: _Context) -> detector_pb2.DetectResponse:
        return self._answer


class InstantEmbedder(embedder_pb2_grpc.EmbedderServiceServicer):
    def __init__(self, model: str) -> None:
        listed = embedder_pb2.EmbedderModel(model=model, dimension=_DIMENSION, input_size=224)
        self._models = embedder_pb2.ListModelsResponse(models=[listed])
        vector = np.full(_DIMENSION, _DIMENSION**-0.5, "<f4")
        self._embedding = embedder_pb2.Embedding(vector=vector.tobytes())
        self._model = model

    async def ListModels(self, _request: Any, _context: _Context) -> embedder_pb2.ListModelsResponse:
        return self._models

    async def Embed(self, request: Any, _context: _Context) -> embedder_pb2.EmbedResponse:
        return embedder_pb2.EmbedResponse(embeddings=[self._embedding] * len(request.images), model=self._model)


class InstantIndex(search_pb2_grpc.SearchServiceServicer):
    def __init__(self) -> None:
        self._answer = search_pb2.SearchResponse()
        for number, categories in enumerate(_SHARDS):
            shard = self._answer.shards.add(shard=f"shard{number}")
            for rank in range(_HITS):
                product = f"product-{number}-{rank // 5}"
                shard.hits.add(
                    image_id=f"image-{number}-{rank}",
                    product_id=product,
                    category=categories[rank // 5 % len(categories)],
                    similarity=0.95 if number == 0 and rank < 5 else 0.6 - 0.05 * number - 0.003 * rank,
                )

    async def Search(self, _request: Any, _context: _Context) -> search_pb2.SearchResponse:
        return self._answer


class InstantCatalog(catalog_pb2_grpc.CatalogServiceServicer):
    async def Describe(self, request: Any, _context: _Context) -> catalog_pb2.DescribeResponse:
        products = [
            catalog_pb2.ProductDescription(
                product=Product(product_id=each, title=f"Product {each}"),
                offers=[
                    Offer(offer_id=f"{each}-{shop}", merchant=shop, price=Money(currency_code="EUR", units=9))
                    for shop in ("north", "south")
                ],
            )
            for each in request.product_ids
        ]
        return catalog_pb2.DescribeResponse(products=products, articles=[Article(article_id="a", title="On things")])

    async def CompareReferenceImages(
        self, request: Any, _context: _Context
    ) -> catalog_pb2.CompareReferenceImagesResponse:
        found = [
            catalog_pb2.Agreement(image_id=each, features=60 - 3 * i, coverage=0.8, colour=0.9, detail=0.8)
            for i, each in enumerate(request.image_ids)
        ]
        return catalog_pb2.CompareReferenceImagesResponse(agreements=found)

    async def RecordGap(self, _request: Any, _context: _Context) -> Empty:
        return Empty()


async def serve(address: str, model: str) -> None:
    """Until SIGTERM."""
    server = grpc.aio.server()  # methods that a scan does not call stay as they were generated: unimplemented
    detector_pb2_grpc.add_DetectorServiceServicer_to_server(InstantDetector(), server)
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(InstantEmbedder(model), server)
    search_pb2_grpc.add_SearchServiceServicer_to_server(InstantIndex(), server)  # type: ignore[abstract]
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(InstantCatalog(), server)  # type: ignore[abstract]
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    await status.set("", health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(address)
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:3]))

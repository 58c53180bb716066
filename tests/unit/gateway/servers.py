"""The little world's parts as real gRPC servers, and a gateway in front of them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import grpc
import numpy as np
from google.protobuf.empty_pb2 import Empty
from google.rpc import code_pb2

from services.classifier.servicer import ClassifierService
from services.classifier.voting import DEFAULT_RULE
from services.gateway.__main__ import NAME
from services.gateway.answer import Limits, Peers
from services.gateway.gaps import GapRecorder
from services.gateway.models import ModelList
from services.gateway.peers import GrpcCatalog, GrpcDetector, GrpcEmbedder, GrpcIndex, GrpcVoter
from services.gateway.pipeline import Scanner
from services.gateway.servicer import GatewayService, Intake
from services.gateway.stream import StreamRules
from shiwu.chassis.admission import Admission, AdmissionSettings
from shiwu.chassis.channel import connect
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    classifier_pb2_grpc,
    detector_pb2,
    detector_pb2_grpc,
    embedder_pb2,
    embedder_pb2_grpc,
    gateway_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)
from shiwu.v1.catalog_resources_pb2 import Article, Offer, Product, Style
from shiwu.v1.vision_pb2 import CategoryScore, DetectedObject
from shiwu.vision import decode
from shiwu.wire.boxes import from_box
from shiwu.wire.images import to_photo
from tests.unit.gateway.world import RULES

LOCAL = ServerSettings(port=0, drain_seconds=0.2)


def pixels(image):
    return to_photo(image, "image", decode.Limits()).pixels


class DetectorServer(detector_pb2_grpc.DetectorServiceServicer):
    def __init__(self, world):
        self.world = world
        self.answer = None

    async def Detect(self, request, context):
        found = await self.world.detector.detect(pixels(request.image), seconds=context.time_remaining())
        objects = [
            DetectedObject(
                box=from_box(each.box),
                score=each.score,
                categories=[CategoryScore(category=category, score=score) for category, score in each.categories],
            )
            for each in found.objects
        ]
        return self.answer or detector_pb2.DetectResponse(objects=objects, model=found.model)


class EmbedderServer(embedder_pb2_grpc.EmbedderServiceServicer):
    def __init__(self, world):
        self.world = world
        self.answer = None

    async def ListModels(self, request, context):
        models = await self.world.embedder.models(seconds=context.time_remaining())
        return embedder_pb2.ListModelsResponse(
            models=[
                embedder_pb2.EmbedderModel(
                    model=each.id,
                    dimension=each.dimension,
                    categories=sorted(each.categories),
                    crop_margin=each.crop_margin,
                    input_size=each.input_size,
                )
                for each in models
            ]
        )

    async def Embed(self, request, context):
        models = {each.id: each for each in self.world.embedder.serving}
        crops = [pixels(each) for each in request.images]
        vectors = await self.world.embedder.embed(crops, models[request.model], seconds=context.time_remaining())
        answer = embedder_pb2.EmbedResponse(
            embeddings=[embedder_pb2.Embedding(vector=each.tobytes()) for each in vectors], model=request.model
        )
        return self.answer or answer


class SearchServer(search_pb2_grpc.SearchServiceServicer):
    def __init__(self, world):
        self.world = world
        self.answer = None

    async def Search(self, request, context):
        shards = await self.world.index.search(
            np.frombuffer(request.vector, "<f4"),
            request.model,
            top_k=request.top_k,
            categories=request.categories,
            include_vectors=request.include_vectors,
            seconds=context.time_remaining(),
        )
        answer = search_pb2.SearchResponse(partial=any(each.error for each in shards))
        for shard in shards:
            result = answer.shards.add(shard=shard.shard, hits=[self.hit(each) for each in shard.hits])
            if shard.error:
                result.error.code, result.error.message = code_pb2.UNAVAILABLE, shard.error
        return self.answer or answer

    def hit(self, each):
        return search_pb2.Hit(
            image_id=each.image_id,
            product_id=each.product_id,
            style_id=each.style_id,
            category=each.category,
            similarity=each.similarity,
            vector=each.vector,
        )


class CatalogServer(catalog_pb2_grpc.CatalogServiceServicer):
    """Knows every product but "chair"; two offers each."""

    def __init__(self, world):
        self.world = world
        self.agreement = None
        """Said of every picture."""

    async def Describe(self, request, context):
        await self.world.catalog.describe(
            list(request.product_ids), max_articles=request.max_articles, seconds=context.time_remaining()
        )
        return catalog_pb2.DescribeResponse(
            products=[self.describe(product_id) for product_id in request.product_ids if product_id != "chair"],
            articles=[Article(article_id="a1", title="On robots")][: request.max_articles],
        )

    def describe(self, product_id):
        style = {"robot": "robot-style", "red-shoe": "shoe-style", "blue-shoe": "shoe-style"}.get(product_id, "")
        description = catalog_pb2.ProductDescription(
            product=Product(product_id=product_id, title=product_id.title(), style_id=style),
            offers=[Offer(offer_id=f"{product_id}-{shop}", merchant=shop) for shop in ("near", "far")],
        )
        if style:
            description.style.CopyFrom(Style(style_id=style, title=style.title()))
        return description

    async def CompareReferenceImages(self, request, context):
        crop = pixels(request.image)
        found = await self.world.catalog.compare(crop, list(request.image_ids), seconds=context.time_remaining())
        agreements = [catalog_pb2.Agreement(image_id=key, **each._asdict()) for key, each in found.items()]
        for each in agreements:
            each.MergeFrom(self.agreement or each)
        return catalog_pb2.CompareReferenceImagesResponse(agreements=agreements)

    async def RecordGap(self, request, context):
        await self.world.catalog.record_gap(request, seconds=context.time_remaining())
        return Empty()

    async def RecordFeedback(self, request, context):
        await self.world.catalog.record_feedback(request, seconds=context.time_remaining())
        return Empty()


class Mesh:
    """Everything of the world on its own port."""

    def __init__(self, world):
        self.world = world
        self.detector, self.embedder, self.search = DetectorServer(world), EmbedderServer(world), SearchServer(world)
        self.catalog, self.classifier = CatalogServer(world), ClassifierService(DEFAULT_RULE)
        self.servers = {}
        self.target = ""
        self.stub = None

    async def kill(self, part):
        await self.servers.pop(part).aclose()

    @asynccontextmanager
    async def running(self, *, keep_crops=False, scan_seconds=5.0, stream=None, admission=None):
        adders = {
            "detector": (detector_pb2_grpc.add_DetectorServiceServicer_to_server, self.detector),
            "embedder": (embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, self.embedder),
            "classifier": (classifier_pb2_grpc.add_ClassifierServiceServicer_to_server, self.classifier),
            "search": (search_pb2_grpc.add_SearchServiceServicer_to_server, self.search),
            "catalog": (catalog_pb2_grpc.add_CatalogServiceServicer_to_server, self.catalog),
        }
        async with AsyncExitStack() as stack:
            channels = {}
            for part, (add, servicer) in adders.items():
                server = self.servers[part] = AsyncExitStack()
                stack.push_async_callback(server.aclose)
                name = f"shiwu.v1.{part.title()}Service"
                bound = running(name, partial(add, servicer), LOCAL)
                port = await server.enter_async_context(bound)
                channels[part] = await stack.enter_async_context(connect(f"127.0.0.1:{port}"))
            service = await stack.enter_async_context(
                self.service(channels, keep_crops, scan_seconds, stream, admission)
            )
            add = partial(gateway_pb2_grpc.add_GatewayServiceServicer_to_server, service)
            port = await stack.enter_async_context(running(NAME, add, LOCAL))
            self.target = f"127.0.0.1:{port}"
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(self.target))
            self.stub = gateway_pb2_grpc.GatewayServiceStub(channel)
            yield self

    @asynccontextmanager
    async def service(self, channels, keep_crops, scan_seconds, stream, admission):
        catalog = GrpcCatalog(channels["catalog"])
        embedder = GrpcEmbedder(channels["embedder"])
        peers = Peers(
            GrpcDetector(channels["detector"]),
            embedder,
            GrpcIndex(channels["search"]),
            GrpcVoter(channels["classifier"]),
            catalog,
        )
        # Patient, as below: what a step loses to the clock is not what these tests ask about.
        rules = replace(RULES, limits=Limits(detect=5.0, embed=5.0, search=5.0, vote=5.0, compare=5.0, describe=5.0))
        scanner = Scanner(peers, ModelList(embedder, max_age=60.0), self.world.tunings, rules)
        async with GapRecorder(catalog, waiting=8, seconds=2.0, keep_crops=keep_crops) as gaps:
            # Patient, since a busy machine serves a burst slowly.
            admission = Admission(admission or AdmissionSettings(burst_seconds=10.0))
            intake = Intake(scan_seconds=scan_seconds)
            rules = stream or StreamRules()
            yield GatewayService(scanner, catalog, gaps, admission=admission, intake=intake, stream=rules)

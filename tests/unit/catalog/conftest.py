"""The catalogue behind a real server, with a fresh database and small peers behind real servers too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import grpc
import numpy as np
import pytest
import pytest_asyncio
from google.longrunning.operations_pb2_grpc import OperationsStub, add_OperationsServicer_to_server
from sqlalchemy import text

from services.catalog.import_settings import ImportSettings
from services.catalog.imports import Imports
from services.catalog.indexing import Indexer
from services.catalog.ingest import Ingest
from services.catalog.operations_servicer import OperationsService
from services.catalog.servicer import CatalogService
from services.catalog.sql import SqlStore, fulltext
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import migrate
from services.catalog.sql.tables import metadata
from shiwu.chassis.channel import connect
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources
from shiwu.v1 import vision_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub, add_CatalogServiceServicer_to_server
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.vision.decode import Limits
from shiwu.wire.fetching import Fetcher
from shiwu.wire.models import GrpcDetector, GrpcEmbedder
from tests.unit.catalog.kinds import EXAMPLES, Kind
from tests.unit.catalog_import.peers import Peers, serving

if TYPE_CHECKING:  # only in the types
    from shiwu.v1.catalog_pb2_grpc import CatalogServiceAsyncStub


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder run in one event loop, the one of the service."""
    for item in items:
        if item.path.parent == Path(__file__).parent and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@dataclass
class Service:
    stub: CatalogServiceAsyncStub
    operations: Any
    store: SqlStore
    indexer: Indexer
    peers: Peers
    channel: grpc.aio.Channel
    path: Path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalog") / "template.db"

    async def make() -> None:
        database = Database(f"sqlite+aiosqlite:///{path}")
        await migrate(database)
        await database.close()

    asyncio.run(make())
    return path


@asynccontextmanager
async def serving_catalog(path: Path, peers: Peers) -> AsyncIterator[Service]:
    store = SqlStore(Database(f"sqlite+aiosqlite:///{path}"))
    async with (
        connect(peers.targets["detector"]) as detector,
        connect(peers.targets["embedder"]) as embedder,
        connect(peers.targets["search"]) as search,
    ):
        indexer = Indexer(store, SearchServiceStub(search))
        ingest = Ingest(store, GrpcDetector(detector), GrpcEmbedder(embedder), indexer)
        settings = ImportSettings(roots=(path.parent,), errors=path.parent / "errors")
        async with Fetcher(settings.fetch) as fetcher:
            imports = Imports(store, ingest, settings, fetcher, Limits())
            imports.resume_all()

            def add(server: grpc.aio.Server) -> None:
                servicer = CatalogService(store, indexer, ingest, imports, limits=Limits())
                add_CatalogServiceServicer_to_server(servicer, server)
                add_OperationsServicer_to_server(OperationsService(store, imports), server)

            names = ("shiwu.v1.CatalogService", "google.longrunning.Operations")
            options = ServerSettings(port=0, drain_seconds=0.1)
            async with (
                running(names, add, options, checks={"database": store.ready}) as port,
                connect(f"127.0.0.1:{port}") as channel,
            ):
                yield Service(
                    CatalogServiceStub(channel), OperationsStub(channel), store, indexer, peers, channel, path
                )
            await imports.close()
    await store.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_service(template: Path) -> AsyncIterator[Service]:
    async with serving() as peers, serving_catalog(template, peers) as running_service:
        yield running_service


@pytest_asyncio.fixture(loop_scope="session")
async def service(one_service: Service) -> Service:
    """The service without rows: starting its servers for each of hundreds of tests would take minutes."""
    database = Database(f"sqlite+aiosqlite:///{one_service.path}")
    async with database.write("empty") as connection:
        for table in (fulltext.TABLE, *(table.name for table in reversed(metadata.sorted_tables))):
            await connection.execute(text(f"DELETE FROM {table}"))
    await database.close()
    one_service.peers.search.records.clear()
    for peer in (one_service.peers.detector, one_service.peers.embedder, one_service.peers.search):
        peer.switch.down, peer.switch.seconds = False, 0.0
    return one_service


@pytest.fixture
def stub(service: Service) -> CatalogServiceAsyncStub:
    return service.stub


@pytest_asyncio.fixture(params=list(EXAMPLES), loop_scope="session")
async def kind(request, stub):
    await stub.CreateStyle(pb.CreateStyleRequest(style=resources.Style(style_id="s0", category="shoes")))
    product = resources.Product(product_id="p0", title="t", category="shoes")
    await stub.CreateProduct(pb.CreateProductRequest(product=product))
    return Kind(request.param, stub)


@pytest.fixture
def photo() -> bytes:
    """A JPEG file of a dark thing on white."""
    pixels = np.full((90, 120, 3), 255, np.uint8)
    pixels[20:70, 30:90] = (40, 80, 160)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


@pytest_asyncio.fixture(loop_scope="session")
async def shop(service, photo):
    """A product in a style, and a way to add pictures."""
    await service.stub.CreateStyle(pb.CreateStyleRequest(style=resources.Style(style_id="s", category="shoes")))
    product = resources.Product(product_id="p", style_id="s", title="t", category="shoes")
    await service.stub.CreateProduct(pb.CreateProductRequest(product=product))

    async def add(key, product="p", encoded=photo):
        picture = resources.ReferenceImage(image_id=key, product_id=product, uri="x")
        image = vision_pb2.Image(encoded=encoded)
        request = pb.CreateReferenceImageRequest(reference_image=picture, image=image)
        return await service.stub.CreateReferenceImage(request)

    service.add = add
    return service

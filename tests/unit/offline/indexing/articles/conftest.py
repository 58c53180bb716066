"""The catalogue's facts on SQLite behind a real server; articles have nothing to do with pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from offline.indexing.articles.catalogue import Catalogue
from services.catalog.servicer import CatalogService
from services.catalog.sql import SqlStore
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import migrate
from shiwu.chassis.channel import connect
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.v1.catalog_pb2_grpc import add_CatalogServiceServicer_to_server
from shiwu.vision.decode import Limits


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/catalog.db")
    await migrate(database)
    store = SqlStore(database)
    yield store
    await store.close()


@pytest.fixture
async def target(store: SqlStore) -> AsyncIterator[str]:
    no_pictures: Any = None

    def add(server: grpc.aio.Server) -> None:
        servicer = CatalogService(store, no_pictures, no_pictures, no_pictures, limits=Limits())
        add_CatalogServiceServicer_to_server(servicer, server)

    options = ServerSettings(port=0, drain_seconds=0.1)
    async with running(("shiwu.v1.CatalogService",), add, options) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def catalogue(target: str) -> AsyncIterator[Catalogue]:
    async with connect(target) as channel:
        yield Catalogue(channel, patience=2.0)

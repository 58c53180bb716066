"""A catalogue's ingest and imports, put together as the service does it. Run as a program it imports until killed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.catalog.import_settings import ImportSettings
from services.catalog.imports import Imports
from services.catalog.indexing import Indexer
from services.catalog.ingest import Ingest
from services.catalog.sql import SqlStore
from services.catalog.sql.database import Database
from shiwu.chassis.channel import connect
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.vision.decode import Limits
from shiwu.wire.fetching import Fetcher
from shiwu.wire.models import GrpcDetector, GrpcEmbedder


@dataclass
class Catalogue:
    store: SqlStore
    ingest: Ingest
    indexer: Indexer
    imports: Imports


@asynccontextmanager
async def assembled(url: str, targets: dict[str, str], settings: ImportSettings) -> AsyncIterator[Catalogue]:
    async with AsyncExitStack() as stack:
        channels = {name: await stack.enter_async_context(connect(target)) for name, target in targets.items()}
        store = SqlStore(Database(url))
        stack.push_async_callback(store.close)
        indexer = Indexer(store, SearchServiceStub(channels["search"]))
        ingest = Ingest(store, GrpcDetector(channels["detector"]), GrpcEmbedder(channels["embedder"]), indexer)
        fetcher = await stack.enter_async_context(Fetcher(settings.fetch))
        imports = Imports(store, ingest, settings, fetcher, Limits())
        stack.push_async_callback(imports.close)
        yield Catalogue(store, ingest, indexer, imports)


async def _forever(url: str, targets: dict[str, str], settings: ImportSettings) -> None:
    async with assembled(url, targets, settings) as catalogue:
        catalogue.imports.resume_all()
        await asyncio.Event().wait()


if __name__ == "__main__":
    options = json.loads(Path(sys.argv[1]).read_text())
    asyncio.run(_forever(options["url"], options["targets"], ImportSettings.model_validate(options["settings"])))

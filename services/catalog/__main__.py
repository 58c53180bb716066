"""Runs the catalogue: python -m services.catalog [serve | migrate | verify | describe | reembed | retire]."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from google.longrunning.operations_pb2_grpc import add_OperationsServicer_to_server

from services.catalog.access import AUDITED, TABLE
from services.catalog.imports import Imports
from services.catalog.indexing import Indexer
from services.catalog.ingest import Ingest
from services.catalog.metrics import CatalogMetrics
from services.catalog.operations_servicer import OperationsService
from services.catalog.picture_sources import PictureSource
from services.catalog.reembedding import Outcome, Reembedding, sources
from services.catalog.servicer import CatalogService
from services.catalog.settings import Settings
from services.catalog.sql import SqlStore
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import check_revision
from services.catalog.sql.migrating import migrate as migrate_tables
from services.catalog.upkeep import upkeep
from shiwu.chassis.audit import AuditLog
from shiwu.chassis.channel import connect, foreign_errors
from shiwu.chassis.errors import PreconditionError
from shiwu.chassis.metrics import exporting
from shiwu.chassis.process import run, until_signalled
from shiwu.chassis.repeating import repeating
from shiwu.chassis.server import running
from shiwu.v1.catalog_pb2_grpc import add_CatalogServiceServicer_to_server
from shiwu.v1.search_pb2 import DescribeShardsRequest, DropModelRequest, ServeModelRequest
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.vision.decode import Limits
from shiwu.vision.threads import use_one_thread
from shiwu.wire.fetching import Fetcher
from shiwu.wire.models import GrpcDetector, GrpcEmbedder

if TYPE_CHECKING:  # generated for type checkers only
    from shiwu.v1.search_pb2_grpc import SearchServiceAsyncStub

_SWAP_SECONDS = 120.0
NAMES = ("shiwu.v1.CatalogService", "google.longrunning.Operations")


async def serve(settings: Settings) -> None:
    """Serves until the process is told to end."""
    use_one_thread()
    limits = Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    database = _database(settings)
    if database.dialect == "sqlite":  # a file of this process alone; a shared server is somebody's to migrate
        await migrate_tables(database)
    else:
        await check_revision(database)
    store = SqlStore(database)
    async with (
        connect(settings.detector) as detector,
        connect(settings.embedder) as embedder,
        connect(settings.search) as search,
        Fetcher(settings.imports.fetch) as fetcher,
    ):
        indexer = Indexer(store, SearchServiceStub(search))
        ingest = Ingest(store, GrpcDetector(detector), GrpcEmbedder(embedder), indexer)
        imports = Imports(store, ingest, settings.imports, fetcher, limits)

        def add(server: grpc.aio.Server) -> None:
            servicer = CatalogService(store, indexer, ingest, imports, limits=limits)
            add_CatalogServiceServicer_to_server(servicer, server)
            add_OperationsServicer_to_server(OperationsService(store, imports), server)

        audit = AuditLog(AUDITED, settings.audit)
        keep = timedelta(days=settings.keep_scans_days)
        metrics = CatalogMetrics(store, database)
        looking = repeating(metrics.look, settings.look_seconds, "looking at what waits")
        async with upkeep(indexer, store, settings.upkeep_seconds, keep_scans=keep), looking:
            imports.resume_all()
            checks = {"database": store.ready}
            async with running(NAMES, add, settings.server, checks, table=TABLE, audit=audit):
                with exporting(metrics.collect):
                    await until_signalled()
            await imports.close()
    await store.close()


async def migrate(settings: Settings) -> None:
    """Brings the database's tables to the revision of this program."""
    database = _database(settings)
    await migrate_tables(database)
    await check_revision(database)
    await database.close()
    print("the database is up to date")


async def verify(settings: Settings) -> None:
    """Compares the search index with the catalogue, and gives it what it lacks: for after it has lost data."""
    async with _parts(settings) as parts:
        print(f"{await parts.ingest.verify_all()} pictures were missing in the index and are there now")


async def describe(settings: Settings) -> None:
    """Makes the local features that pictures lack, or have from another release; goes on where it was killed."""
    async with _parts(settings) as parts:
        outcome = await parts.reembedding.describe(_report)
        _list(outcome)


async def reembed(settings: Settings, model: str, max_missing: int) -> None:
    """Gives all pictures a vector by MODEL (name@version), then lets searches use it; goes on where it was killed."""
    async with _parts(settings) as parts:
        outcome = await parts.reembedding.build(model, _report)
        _list(outcome)
        if len(outcome.lost) > max_missing:
            msg = (
                f"{len(outcome.lost):,} pictures cannot be made again, so {model} is not served; add them again, or"
                " allow it with --max-missing"
            )
            raise PreconditionError(msg)
        request = ServeModelRequest(model=model, max_missing=max_missing)
        with foreign_errors("search"):
            await parts.search.ServeModel(request, timeout=_SWAP_SECONDS)
        print(f"{model} is served; next: run the embedder with it first, then without the old one, then retire that")


async def retire(settings: Settings, old: str, delete_lost: bool) -> None:
    """Forgets MODEL (name@version), of which another version is served and which the embedder does not run any more."""
    async with _parts(settings) as parts:
        running = [each.model for each in await parts.ingest.models()]
        new = next((each for each in running if each.partition("@")[0] == old.partition("@")[0] and each != old), None)
        if new is None:
            msg = f"the embedder runs no other version of {old}, but {', '.join(running)}"
            raise PreconditionError(msg)
        with foreign_errors("search"):
            shards = (await parts.search.DescribeShards(DescribeShardsRequest(), timeout=_SWAP_SECONDS)).shards
        if any(index.model == old and index.serving for shard in shards for index in shard.indexes):
            msg = f"search still serves {old}; reembed {new} first"
            raise PreconditionError(msg)
        lost = await parts.reembedding.promote(new, old)
        if lost and not delete_lost:
            msg = f"{len(lost):,} pictures have no vector by {new}, the first is {lost[0]}; reembed, or --delete-lost"
            raise PreconditionError(msg)
        await parts.reembedding.delete(lost)
        with foreign_errors("search"):
            await parts.search.DropModel(DropModelRequest(model=old), timeout=_SWAP_SECONDS)
        print(f"{old} is gone; {len(lost):,} pictures without a vector by {new} were deleted")


def _report(made: int, lost: int) -> None:
    print(f"{made:,} made, {lost:,} cannot be", flush=True)


def _list(outcome: Outcome) -> None:
    for image_id, reason in islice(outcome.lost.items(), 20):
        print(f"{image_id}: {reason}")


@dataclass(frozen=True)
class _Parts:
    """What a job works with."""

    ingest: Ingest
    reembedding: Reembedding
    search: SearchServiceAsyncStub


@asynccontextmanager
async def _parts(settings: Settings) -> AsyncIterator[_Parts]:
    limits = Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    database = _database(settings)
    await check_revision(database)
    store = SqlStore(database)
    async with (
        connect(settings.detector) as detector,
        connect(settings.embedder) as embedder,
        connect(settings.search) as search,
        Fetcher(settings.imports.fetch) as fetcher,
    ):
        indexer = Indexer(store, SearchServiceStub(search))
        ingest = Ingest(store, GrpcDetector(detector), GrpcEmbedder(embedder), indexer)
        roots = settings.imports.roots
        places = sources(roots, lambda folder: PictureSource(folder, roots, fetcher, limits.max_bytes))
        at_once = settings.imports.pictures_at_once
        yield _Parts(
            ingest, Reembedding(store, ingest, indexer, places, limits, at_once=at_once), SearchServiceStub(search)
        )
    await store.close()


def _database(settings: Settings) -> Database:
    database = Database(settings.database_url.get_secret_value(), connections=settings.database_connections)
    if database.dialect == "sqlite":
        Path(str(database.engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    return database


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m services.catalog", description="The catalogue service.")
    commands = parser.add_subparsers(dest="command")
    for command in (serve, migrate, verify, describe, reembed, retire):
        of_command = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        if command in (reembed, retire):
            of_command.add_argument("model")
    commands.choices["reembed"].add_argument(
        "--max-missing", type=int, default=0, help="pictures that it may lack: of addresses that lead nowhere"
    )
    commands.choices["retire"].add_argument(
        "--delete-lost", action="store_true", help="delete pictures that the new version lacks"
    )
    given = parser.parse_args()
    if given.command == "reembed":
        run(partial(reembed, model=given.model, max_missing=given.max_missing), Settings, "catalog")
    elif given.command == "retire":
        run(partial(retire, old=given.model, delete_lost=given.delete_lost), Settings, "catalog")
    else:
        plain = {"migrate": migrate, "verify": verify, "describe": describe}
        run(plain.get(given.command, serve), Settings, "catalog")

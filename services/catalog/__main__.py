"""Runs the catalogue: python -m services.catalog [serve | migrate | verify]."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path

import grpc
from google.longrunning.operations_pb2_grpc import add_OperationsServicer_to_server

from services.catalog.access import AUDITED, TABLE
from services.catalog.fetching import Fetcher
from services.catalog.imports import Imports
from services.catalog.indexing import Indexer
from services.catalog.ingest import Ingest
from services.catalog.metrics import CatalogMetrics
from services.catalog.operations_servicer import OperationsService
from services.catalog.peers_grpc import GrpcDetector, GrpcEmbedder
from services.catalog.servicer import CatalogService
from services.catalog.settings import Settings
from services.catalog.sql import SqlStore
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import check_revision
from services.catalog.sql.migrating import migrate as migrate_tables
from services.catalog.upkeep import upkeep
from shiwu.chassis.audit import AuditLog
from shiwu.chassis.channel import connect
from shiwu.chassis.metrics import exporting
from shiwu.chassis.process import run, until_signalled
from shiwu.chassis.repeating import repeating
from shiwu.chassis.server import running
from shiwu.v1.catalog_pb2_grpc import add_CatalogServiceServicer_to_server
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.vision.decode import Limits

NAMES = ("shiwu.v1.CatalogService", "google.longrunning.Operations")


async def serve(settings: Settings) -> None:
    """Serves until the process is told to end."""
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
    database = _database(settings)
    await check_revision(database)
    store = SqlStore(database)
    async with (
        connect(settings.detector) as detector,
        connect(settings.embedder) as embedder,
        connect(settings.search) as search,
    ):
        indexer = Indexer(store, SearchServiceStub(search))
        ingest = Ingest(store, GrpcDetector(detector), GrpcEmbedder(embedder), indexer)
        print(f"{await ingest.verify_all()} pictures were missing in the index and are there now")
    await store.close()


def _database(settings: Settings) -> Database:
    database = Database(settings.database_url.get_secret_value(), connections=settings.database_connections)
    if database.dialect == "sqlite":
        Path(str(database.engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    return database


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m services.catalog", description="The catalogue service.")
    commands = {"serve": serve, "migrate": migrate, "verify": verify}
    details = "; ".join(f"{name}: {command.__doc__}" for name, command in commands.items())
    parser.add_argument("command", nargs="?", choices=commands, default="serve", help=details)
    run(commands[parser.parse_args().command], Settings, "catalog")

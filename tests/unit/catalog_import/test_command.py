"""`shiwu catalog import` against a real server."""

from __future__ import annotations

import asyncio

from google.longrunning.operations_pb2_grpc import add_OperationsServicer_to_server
from typer.testing import CliRunner

from services.catalog.operations_servicer import OperationsService
from services.catalog.servicer import CatalogService
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.cli.app import app
from shiwu.v1.catalog_pb2_grpc import add_CatalogServiceServicer_to_server
from shiwu.vision.decode import Limits
from tests.unit.catalog_import.assembly import Catalogue
from tests.unit.catalog_import.conftest import Shop


async def test_what_a_complete_feed_has_done_is_printed(catalogue: Catalogue, shop: Shop):
    service = CatalogService(catalogue.store, catalogue.indexer, catalogue.ingest, catalogue.imports, limits=Limits())

    def add(server) -> None:
        add_CatalogServiceServicer_to_server(service, server)
        add_OperationsServicer_to_server(OperationsService(catalogue.store, catalogue.imports), server)

    catalogue.imports.resume_all()
    async with running("shiwu.v1.CatalogService", add, ServerSettings(port=0, drain_seconds=0.1)) as port:

        async def run(*rows: str, **options: bool) -> tuple[int, str]:
            feed = shop.feed(*rows, header="product_id,title,category,price")
            flags = [f"--{name}" for name, on in options.items() if on]
            command = ["catalog", "import", feed, "--merchant", "M", "--target", f"127.0.0.1:{port}", *flags]
            result = await asyncio.to_thread(CliRunner().invoke, app, command, env={"COLUMNS": "200"})
            return result.exit_code, " ".join(result.output.split())

        rows = [f"p{n},Product,shoes,{n + 1} USD" for n in range(5)]
        code, said = await run(*rows, complete=True)
        assert code == 0
        assert "5 of 5 rows: 5 products added or changed, 0 pictures indexed, 0 as they were, 0 offers closed" in said
        code, said = await run(*rows[:4], complete=True)
        assert (code, "1 offers closed, 0 open again" in said) == (0, True)
        code, said = await run(rows[4], complete=True)
        assert (code, "0 offers closed, 1 open again" in said) == (2, True)
        assert "not closed: the feed lacks 4 of the 5 open offers of 'M'" in said
        code, said = await run(rows[4], complete=True, force=True)
        assert (code, "4 offers closed" in said) == (0, True)
        code, said = await run(rows[4], force=True)
        assert (code, "is set, but not complete" in said) == (2, True)

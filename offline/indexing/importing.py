"""Feeds into the catalogue, by its own long-running import."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from google.longrunning import operations_pb2, operations_pb2_grpc

from offline.jobs.job import JobInputError
from shiwu.chassis.channel import connect, foreign_errors
from shiwu.chassis.settings import ClientSettings
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub

_TIMEOUT: Final = 20.0
_POLL: Final = 0.2  # seconds


async def import_feed(feed: Path, pictures: Path, merchant: str, catalog: ClientSettings) -> pb.ImportProductsResponse:
    """Imports a feed in JSON lines and waits for the end. pictures: what its paths are relative to. Both are absolute.

    A feed that was imported before changes nothing. Raises JobInputError if the import as a whole fails;
    UnavailableError or DeadlineError while the catalogue does not answer.
    """
    request = pb.ImportProductsRequest(
        feed_uri=feed.as_uri(), default_merchant=merchant, pictures_uri=pictures.as_uri()
    )
    async with connect(catalog) as channel:
        with foreign_errors("catalog"):
            operation = await CatalogServiceStub(channel).ImportProducts(request, timeout=_TIMEOUT)
        operations = operations_pb2_grpc.OperationsStub(channel)
        while not operation.done:
            await asyncio.sleep(_POLL)
            with foreign_errors("catalog"):
                wanted = operations_pb2.GetOperationRequest(name=operation.name)
                operation = await operations.GetOperation(wanted, timeout=_TIMEOUT)
    if operation.HasField("error"):
        msg = f"the import of {feed} failed: {operation.error.message}"
        raise JobInputError(msg)
    response = pb.ImportProductsResponse()
    operation.response.Unpack(response)
    return response

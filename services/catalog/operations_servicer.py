# ruff: noqa: N802, ARG002  (gRPC names methods in CamelCase and passes a context)
"""google.longrunning.Operations: imports, followed by the calls that every tool for Google-like APIs knows."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
from google.longrunning import operations_pb2
from google.longrunning.operations_pb2_grpc import OperationsServicer
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, status_pb2

from services.catalog.imports import Imports
from services.catalog.resources import Operation, RowProblem, State
from services.catalog.store import CatalogStore
from shiwu.chassis.deadlines import budget
from shiwu.chassis.errors import InvalidInputError
from shiwu.v1 import catalog_pb2

_PREFIX = "operations/"
_FORMATS = {
    "csv": catalog_pb2.FEED_FORMAT_CSV,
    "tsv": catalog_pb2.FEED_FORMAT_TSV,
    "jsonl": catalog_pb2.FEED_FORMAT_JSONL,
    "xml": catalog_pb2.FEED_FORMAT_XML,
}
_FILTERS = {"": None, "done=true": False, "done = true": False, "done=false": True, "done = false": True}
_MAX_ERRORS = 100
_LONGEST_WAIT = 60.0
_POLL = 0.1


class OperationsService(OperationsServicer):  # type: ignore[misc]  # generated without types
    """Speaks protobuf outside and the ledger inside."""

    def __init__(self, store: CatalogStore, imports: Imports) -> None:
        self._store = store
        self._imports = imports

    async def GetOperation(
        self, request: operations_pb2.GetOperationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.Operation:
        """NOT_FOUND if there is no such operation."""
        return await self.message(await self._store.get_operation(_id(request.name)))

    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.ListOperationsResponse:
        """Imports by name. `filter` may be "done=true" or "done=false"; page_size is 1 to 1,000, unset 100."""
        if request.name not in ("", "operations"):
            msg = f"{request.name!r} has no operations; expected 'operations'"
            raise InvalidInputError(msg, field="name")
        if request.filter not in _FILTERS:
            msg = f"{request.filter!r} is not understood; expected nothing, 'done=true' or 'done=false'"
            raise InvalidInputError(msg, field="filter")
        if not 0 <= request.page_size <= 1000:
            msg = f"is {request.page_size}; expected 1 to 1,000, or 0 for 100"
            raise InvalidInputError(msg, field="page_size")
        size = request.page_size or 100
        found = await self._store.list_operations(
            after=request.page_token, limit=size + 1, running=_FILTERS[request.filter]
        )
        return operations_pb2.ListOperationsResponse(
            operations=[await self.message(operation) for operation in found[:size]],
            next_page_token=found[size - 1].operation_id if len(found) > size else "",
        )

    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.Operation:
        """Answers when the operation is done, or with its state when the timeout (at most a minute) has passed."""
        operation_id = _id(request.name)
        asked = request.timeout.ToTimedelta().total_seconds() if request.HasField("timeout") else _LONGEST_WAIT
        until = asyncio.get_running_loop().time() + budget(max(0.0, min(asked, _LONGEST_WAIT)))
        operation = await self._store.get_operation(operation_id)
        while operation.state is State.RUNNING and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_POLL)
            operation = await self._store.get_operation(operation_id)
        return await self.message(operation)

    async def CancelOperation(
        self, request: operations_pb2.CancelOperationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Empty:
        """Asks an import to stop; what it has written stays. NOT_FOUND if there is no such operation."""
        await self._imports.cancel(_id(request.name))
        return Empty()

    async def DeleteOperation(
        self, request: operations_pb2.DeleteOperationRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Empty:
        """Forgets an import that is done. FAILED_PRECONDITION while it is running."""
        operation = await self._store.get_operation(_id(request.name))
        await self._store.delete_operation(operation.operation_id)
        if operation.errors_path:
            await asyncio.to_thread(Path(operation.errors_path).unlink, missing_ok=True)
        return Empty()

    async def message(self, operation: Operation) -> operations_pb2.Operation:
        """The operation with its metadata and, when it is done, its response or error."""
        problems: list[RowProblem] = []
        if operation.state is State.SUCCEEDED and operation.rows_failed:
            problems = await self._store.list_problems(operation.operation_id, limit=_MAX_ERRORS)
        return operation_message(operation, problems)


def operation_message(operation: Operation, problems: list[RowProblem]) -> operations_pb2.Operation:
    """An import as an operation. problems: the first of its rows that failed."""
    message = operations_pb2.Operation(name=_PREFIX + operation.operation_id, done=operation.state is not State.RUNNING)
    message.metadata.Pack(_metadata(operation))
    if operation.state is State.SUCCEEDED:
        message.response.Pack(_response(operation, problems))
    elif operation.state is not State.RUNNING:
        code = code_pb2.CANCELLED if operation.state is State.CANCELLED else code_pb2.FAILED_PRECONDITION
        message.error.CopyFrom(status_pb2.Status(code=code, message=operation.error))
    return message


def _metadata(operation: Operation) -> catalog_pb2.ImportProductsMetadata:
    return catalog_pb2.ImportProductsMetadata(
        request=catalog_pb2.ImportProductsRequest(
            feed_uri=operation.feed_uri,
            format=_FORMATS[operation.format],
            default_merchant=operation.default_merchant,
            complete=operation.complete,
            force=operation.force,
            pictures_uri=operation.pictures_uri,
        ),
        rows_total=operation.rows_total,
        rows_done=operation.rows_done,
        rows_failed=operation.rows_failed,
        create_time=_timestamp(operation.create_time),
        update_time=_timestamp(operation.update_time),
        products_written=operation.products_written,
        images_indexed=operation.images_indexed,
        images_unchanged=operation.images_unchanged,
        offers_closed=operation.offers_closed,
        offers_reopened=operation.offers_reopened,
    )


def _response(operation: Operation, problems: list[RowProblem]) -> catalog_pb2.ImportProductsResponse:
    return catalog_pb2.ImportProductsResponse(
        rows_total=operation.rows_total,
        rows_failed=operation.rows_failed,
        products_written=operation.products_written,
        images_indexed=operation.images_indexed,
        errors_uri=Path(operation.errors_path).as_uri() if operation.errors_path else "",
        errors=[catalog_pb2.RowError(row=each.row, field=each.field, problem=each.problem) for each in problems],
        index_time=_timestamp(operation.index_time),
        images_unchanged=operation.images_unchanged,
        offers_closed=operation.offers_closed,
        offers_reopened=operation.offers_reopened,
        closing_refused=operation.closing_refused,
    )


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _id(name: str) -> str:
    if not name.startswith(_PREFIX):
        msg = f"{name[:200]!r} is not an operation; expected {_PREFIX}<id>"
        raise InvalidInputError(msg, field="name")
    return name.removeprefix(_PREFIX)

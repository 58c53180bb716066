"""google.longrunning.Operations over a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from google.longrunning import operations_pb2 as pb
from google.longrunning.operations_pb2_grpc import OperationsStub, add_OperationsServicer_to_server
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2

from services.catalog.operations_servicer import OperationsService
from shiwu.chassis.channel import connect
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.v1 import catalog_pb2
from tests.unit.catalog_import.assembly import Catalogue
from tests.unit.catalog_import.conftest import Shop
from tests.unit.catalog_import.peers import Peers


@pytest.fixture
async def operations(catalogue: Catalogue) -> AsyncIterator[OperationsStub]:
    service = OperationsService(catalogue.store, catalogue.imports)
    settings = ServerSettings(port=0, drain_seconds=0.1)
    name = "google.longrunning.Operations"
    async with (
        running(name, lambda server: add_OperationsServicer_to_server(service, server), settings) as port,
        connect(f"127.0.0.1:{port}") as channel,
    ):
        yield OperationsStub(channel)


async def wait(operations: OperationsStub, name: str, seconds: float = 10.0) -> pb.Operation:
    timeout = Duration()
    timeout.FromMilliseconds(int(seconds * 1000))
    return await operations.WaitOperation(pb.WaitOperationRequest(name=name, timeout=timeout))


async def start(catalogue: Catalogue, feed: str) -> str:
    return "operations/" + (await catalogue.imports.start(feed_uri=feed, default_merchant="Shop")).operation_id


async def test_an_import_from_start_to_end(catalogue: Catalogue, operations: OperationsStub, shop: Shop):
    good = shop.picture("1.png", 1)
    name = await start(catalogue, shop.feed(f"p1,A,toys,M,1 USD,{good}", "p2,B,toys,M,free,", "p3,C,toys,M,,"))
    pending = await operations.GetOperation(pb.GetOperationRequest(name=name))
    assert not pending.done
    metadata = catalog_pb2.ImportProductsMetadata()
    assert pending.metadata.Unpack(metadata)
    assert metadata.request.default_merchant == "Shop"
    assert metadata.request.format == catalog_pb2.FEED_FORMAT_CSV
    assert metadata.create_time.seconds > 0
    catalogue.imports.resume_all()
    finished = await wait(operations, name)
    assert finished.done
    response = catalog_pb2.ImportProductsResponse()
    assert finished.response.Unpack(response)
    assert (response.rows_total, response.rows_failed, response.products_written) == (3, 2, 1)
    assert response.images_indexed == 1
    assert [(error.row, error.field) for error in response.errors] == [(3, "price"), (4, "price")]
    assert response.errors_uri.startswith("file:///")
    assert response.index_time.seconds > 0
    finished.metadata.Unpack(metadata)
    assert (metadata.rows_total, metadata.rows_done, metadata.rows_failed) == (3, 3, 2)
    assert (metadata.products_written, metadata.images_indexed) == (1, 1)


async def test_what_a_complete_feed_closes_is_reported(catalogue: Catalogue, operations: OperationsStub, shop: Shop):
    picture = shop.picture("1.png", 1)
    row = f"p1,A,toys,M,1 USD,{picture}"
    rest = [f"p{n},B,toys,M,2 USD," for n in range(2, 6)]
    catalogue.imports.resume_all()
    reports: list[tuple[int, ...]] = []
    for lines in ([row, *rest], [row, *rest[1:]], [row, *rest], [row]):
        started = await catalogue.imports.start(feed_uri=shop.feed(*lines), complete=True)
        finished = await wait(operations, f"operations/{started.operation_id}")
        metadata, response = catalog_pb2.ImportProductsMetadata(), catalog_pb2.ImportProductsResponse()
        assert finished.metadata.Unpack(metadata)
        assert finished.response.Unpack(response)
        assert (metadata.request.complete, metadata.request.force) == (True, False)
        both = (metadata, response)
        reports += [(each.images_unchanged, each.offers_closed, each.offers_reopened) for each in both]
    assert reports == [(0, 0, 0)] * 2 + [(1, 1, 0)] * 2 + [(1, 0, 1)] * 2 + [(1, 0, 0)] * 2
    assert response.closing_refused.startswith("not closed: the feed lacks 4 of the 5 open offers of 'M'")


async def test_a_failed_import_says_why(catalogue: Catalogue, operations: OperationsStub, shop: Shop):
    name = await start(catalogue, shop.feed())
    catalogue.imports.resume_all()
    finished = await wait(operations, name)
    assert finished.error.code == code_pb2.FAILED_PRECONDITION
    assert "has no rows" in finished.error.message


async def test_cancelling_and_deleting(catalogue: Catalogue, operations: OperationsStub, peers: Peers, shop: Shop):
    peers.embedder.switch.down = True
    name = await start(catalogue, shop.simple(8))
    catalogue.imports.resume_all()
    still = await wait(operations, name, 0.2)
    assert not still.done
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await operations.DeleteOperation(pb.DeleteOperationRequest(name=name))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await operations.CancelOperation(pb.CancelOperationRequest(name=name))
    finished = await wait(operations, name)
    assert finished.error.code == code_pb2.CANCELLED
    await operations.DeleteOperation(pb.DeleteOperationRequest(name=name))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await operations.GetOperation(pb.GetOperationRequest(name=name))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_lists(catalogue: Catalogue, operations: OperationsStub, shop: Shop):
    names = sorted([await start(catalogue, shop.simple(1)) for _ in range(5)])
    seen: list[str] = []
    token = ""
    while True:
        page = await operations.ListOperations(pb.ListOperationsRequest(page_size=2, page_token=token))
        seen += [operation.name for operation in page.operations]
        token = page.next_page_token
        if not token:
            break
    assert seen == names
    done = await operations.ListOperations(pb.ListOperationsRequest(filter="done=true"))
    assert len(done.operations) == 0
    running_now = await operations.ListOperations(pb.ListOperationsRequest(filter="done=false"))
    assert len(running_now.operations) == 5


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("GetOperation", pb.GetOperationRequest(name="import-1"), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetOperation", pb.GetOperationRequest(name="operations/x"), grpc.StatusCode.NOT_FOUND),
        ("GetOperation", pb.GetOperationRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        ("CancelOperation", pb.CancelOperationRequest(name="operations/x"), grpc.StatusCode.NOT_FOUND),
        ("ListOperations", pb.ListOperationsRequest(page_size=-1), grpc.StatusCode.INVALID_ARGUMENT),
        ("ListOperations", pb.ListOperationsRequest(page_size=1001), grpc.StatusCode.INVALID_ARGUMENT),
        ("ListOperations", pb.ListOperationsRequest(filter="name=x"), grpc.StatusCode.INVALID_ARGUMENT),
        ("ListOperations", pb.ListOperationsRequest(name="projects"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_bad_requests(operations: OperationsStub, method: str, request_: object, code: grpc.StatusCode):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(operations, method)(request_)
    assert caught.value.code() is code

"""Each service is killed while scans run: answers are marked partial, never wrong, and whole again afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from evaluation.demo_catalogue import ABSENT
from shiwu.v1 import gateway_pb2, search_pb2
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from tests import demo_mesh
from tests.demo_mesh import STOCK, DemoMesh, eventually

PRODUCT = "basketball"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMesh]:
    demo = demo_mesh.start(Path(tmp_path_factory.mktemp("failing")))
    with demo.mesh:
        demo.mesh.wait_ready()
        demo.finish_import(demo.start_import(demo.write_feed(STOCK)))
        yield demo


@pytest.fixture
def original(demo: DemoMesh) -> bytes:
    return demo.products[PRODUCT].picture.read_bytes()


def whole_and_right(demo: DemoMesh, photo: bytes) -> bool:
    try:
        answer = demo.scan(photo)
    except grpc.RpcError:
        return False
    return not answer.missing and answer.outcome == gateway_pb2.OUTCOME_MATCHED


PARTS = ("detector", "classifier", "catalog", "embedder", "search")


@pytest.mark.parametrize("service", PARTS)
def test_a_lost_service_is_marked_and_never_makes_a_wrong_answer(demo: DemoMesh, original: bytes, service: str) -> None:
    assert whole_and_right(demo, original)
    answers: list[gateway_pb2.ScanResponse] = []
    errors: list[grpc.RpcError] = []
    stop = threading.Event()

    def scan_on() -> None:
        while not stop.is_set():
            try:
                answers.append(demo.scan(original))
            except grpc.RpcError as error:
                errors.append(error)

    scanning = threading.Thread(target=scan_on)
    scanning.start()
    try:
        time.sleep(0.5)
        demo.mesh.kill(service)
        eventually(lambda: any(_missing(answer, service) for answer in list(answers)), 20)
        time.sleep(1.0)
        demo.mesh.start(service)
        eventually(lambda: whole_and_right(demo, original), 40)
    finally:
        stop.set()
        scanning.join()
    assert not errors, [error.details() for error in errors]
    for answer in answers:
        if answer.outcome == gateway_pb2.OUTCOME_MATCHED:
            assert answer.styles[0].products[0].product.product_id == PRODUCT
        assert answer.outcome != gateway_pb2.OUTCOME_NOT_IN_CATALOGUE
        assert answer.missing or answer.outcome == gateway_pb2.OUTCOME_MATCHED


def _missing(answer: gateway_pb2.ScanResponse, part: str) -> bool:
    return any(each.part.split("/")[0] == part for each in answer.missing)


def test_the_gateway_comes_back(demo: DemoMesh, original: bytes) -> None:
    demo.mesh.kill("gateway")
    with pytest.raises(grpc.RpcError) as error:
        demo.scan(original, timeout=5)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    demo.mesh.start("gateway")
    eventually(lambda: whole_and_right(demo, original), 30)


@pytest.mark.parametrize("victim", ["search", "catalog", "embedder"])
def test_an_import_survives_the_death_of_a_service(tmp_path: Path, victim: str) -> None:
    """kill -9 in the middle of an import: what was acknowledged is there, and the import completes by itself."""
    # The successor of a dead catalog waits for the lease of its predecessor to run out.
    demo = demo_mesh.start(tmp_path / "mesh", {"CATALOG_IMPORTS__LEASE_SECONDS": "5"})
    with demo.mesh:
        demo.mesh.wait_ready()
        keys = tuple(key for key in demo.products if key not in ABSENT)[:40]
        operation = demo.start_import(demo.write_feed(keys))
        eventually(lambda: _pictures(demo) >= 3, 30)
        demo.mesh.kill(victim)
        time.sleep(0.5)
        demo.mesh.start(victim)
        demo.mesh.wait_ready()
        result = demo.finish_import(operation)
        assert result.rows_failed == 0, result.errors
        assert _pictures(demo) == len(keys)
        again = demo.finish_import(demo.start_import(demo.write_feed(keys)))
        assert again.images_indexed == 0


def _pictures(demo: DemoMesh) -> int:
    with grpc.insecure_channel(demo.mesh.layout.target("search")) as channel:
        stub = SearchServiceStub(channel)
        shards = stub.DescribeShards(search_pb2.DescribeShardsRequest(), timeout=10).shards
    return sum(index.images for shard in shards for index in shard.indexes)

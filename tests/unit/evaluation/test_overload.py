"""The figures of a load: goodput, shedding, recovery; and the generator against a server that sheds."""

from __future__ import annotations

import asyncio
import math
from functools import partial

import pytest

from evaluation.generator import Generator, Load, Sample
from evaluation.overload import recovery
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.v1 import gateway_pb2
from shiwu.v1.gateway_pb2_grpc import GatewayServiceServicer, add_GatewayServiceServicer_to_server


def load(*samples: tuple[float, float, str, bool], seconds: float = 10.0) -> Load:
    return Load(seconds, samples=[Sample(*each) for each in samples])


def test_goodput_counts_whole_answers_that_came_in_time() -> None:
    measured = load((0, 1, "OK", True), (1, 1, "OK", False), (2, 1, "UNAVAILABLE", False), (9.5, 1, "OK", True))
    assert measured.goodput() == 0.1
    assert measured.share("OK") == 0.75
    assert measured.latencies() == [1, 1, 1]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([(t, 0.1, "OK", True) for t in range(10)], 0.0),
        ([(0, 0.1, "RESOURCE_EXHAUSTED", False), *[(t, 0.1, "OK", True) for t in range(1, 10)]], 0.1),
        ([(0, 0.1, "OK", True), (0.5, 3.0, "OK", True), *[(t, 0.1, "OK", True) for t in range(1, 10)]], 3.5),
        ([(t, 3.0, "OK", True) for t in range(10)], math.inf),
    ],
)
def test_recovered_once_all_is_well_for_a_second(
    samples: list[tuple[float, float, str, bool]], expected: float
) -> None:
    assert recovery(load(*samples), limit=1.0) == pytest.approx(expected)


class SheddingGateway(GatewayServiceServicer):
    async def Scan(self, request: gateway_pb2.ScanRequest, context: object) -> gateway_pb2.ScanResponse:
        await asyncio.sleep(0.2)
        missing = [gateway_pb2.MissingPart(part="catalog")] if request.image.encoded == b"lossy" else []
        return gateway_pb2.ScanResponse(missing=missing)


async def test_the_generator_keeps_its_rate_whatever_becomes_of_the_scans() -> None:
    settings = ServerSettings(port=0, max_concurrent_rpcs=10)
    add = partial(add_GatewayServiceServicer_to_server, SheddingGateway())
    async with running("shiwu.v1.GatewayService", add, settings) as port:
        with Generator(f"127.0.0.1:{port}", [b"photo", b"lossy"]) as generator:
            below, above = await asyncio.to_thread(generator.opened, [(10, 1.0), (200, 1.0)])
            closed = await asyncio.to_thread(generator.closed, 2, 1.0)
    assert (len(below.samples), len(above.samples)) == (10, 200)
    assert below.share("OK") == 1.0
    assert sum(sample.whole for sample in below.samples) == 5
    assert above.share("RESOURCE_EXHAUSTED") > 0.5
    assert 5 <= len(closed.samples) <= 10


async def test_a_client_that_was_refused_waits() -> None:
    settings = ServerSettings(port=0, max_concurrent_rpcs=1)
    add = partial(add_GatewayServiceServicer_to_server, SheddingGateway())
    async with running("shiwu.v1.GatewayService", add, settings) as port:
        with Generator(f"127.0.0.1:{port}", [b"photo"]) as generator:
            closed = await asyncio.to_thread(generator.closed, 3, 1.5)
    assert closed.share("RESOURCE_EXHAUSTED") > 0
    assert sum(sample.code == "RESOURCE_EXHAUSTED" for sample in closed.samples) <= 4

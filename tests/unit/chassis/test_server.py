"""Serving, its limits, and draining."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

import grpc
import pytest
from grpc._cython import cygrpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from shiwu.chassis import channel as channels
from shiwu.chassis import server as servers
from shiwu.chassis.channel import connect
from shiwu.chassis.metrics import exporting, observe_build, timed_store
from shiwu.chassis.server import running
from shiwu.chassis.settings import ClientSettings, ServerSettings
from tests.unit.chassis.echo_service import BIDI_STREAM, NAME, UNARY, add_echo
from tests.unit.chassis.serving import echo
from tests.unit.chassis.test_errors import adding, failure


async def test_reflection_lists_the_services() -> None:
    async with echo() as channel:
        stub = ServerReflectionStub(channel)
        [answer] = [a async for a in stub.ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))]
    names = {service.name for service in answer.list_services_response.service}
    assert names == {NAME, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_a_taken_port_is_an_error_that_names_it() -> None:
    async with running(NAME, add_echo, ServerSettings(port=0)) as port:
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
            async with running(NAME, add_echo, ServerSettings(port=port)):
                pass


async def test_draining_lets_calls_in_flight_finish_and_refuses_new_ones() -> None:
    server = running(NAME, add_echo, ServerSettings(port=0, drain_seconds=5.0))
    port = await server.__aenter__()
    async with connect(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(UNARY)(b"0.5")
        await asyncio.sleep(0.2)
        start = time.perf_counter()
        drained = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0.1)
        assert (await failure(channel.unary_unary(UNARY)(b"0"))).code() is grpc.StatusCode.UNAVAILABLE
        assert (await call).isdigit()
        await drained
    assert time.perf_counter() - start < 4.0, "drained for longer than the call took"


async def test_a_call_that_outlasts_the_drain_is_cut_off() -> None:
    server = running(NAME, add_echo, ServerSettings(port=0, drain_seconds=0.3))
    port = await server.__aenter__()
    async with connect(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(UNARY)(b"60")
        await asyncio.sleep(0.2)
        async with asyncio.timeout(3):
            await server.__aexit__(None, None, None)
        await failure(call)


async def test_an_idle_stream_is_cut_off_too() -> None:
    server = running(NAME, add_echo, ServerSettings(port=0, drain_seconds=0.3))
    port = await server.__aenter__()
    async with connect(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream(BIDI_STREAM)()
        await call.write(b"0")
        await call.read()
        async with asyncio.timeout(3):
            await server.__aexit__(None, None, None)


@pytest.mark.parametrize(("size", "fits"), [((1 << 20) - 100, True), ((1 << 20) + 100, False)])
async def test_messages_are_limited_at_the_server(size: int, *, fits: bool) -> None:
    async def count(request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        return str(len(request)).encode()

    settings = ServerSettings(port=0, max_message_mib=1)
    async with (
        running(NAME, adding(grpc.unary_unary_rpc_method_handler, count), settings) as port,
        connect(ClientSettings(target=f"127.0.0.1:{port}", max_message_mib=8)) as channel,
    ):
        call = channel.unary_unary(f"/{NAME}/Method")(b"x" * size)
        if fits:
            assert await call == str(size).encode()
        else:
            assert (await failure(call)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_too_many_calls_at_once_are_refused_and_room_comes_back() -> None:
    async with echo(max_concurrent_rpcs=2) as channel:
        call = channel.unary_unary(UNARY)
        busy = [call(b"0.5"), call(b"0.5")]
        await asyncio.sleep(0.2)
        assert (await failure(call(b"0"))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await asyncio.gather(*busy)
        assert (await call(b"0")).isdigit()


def scraped(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        lines = response.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


async def test_metrics_count_every_call_by_method_and_code(unused_tcp_port: int) -> None:
    labels = f'grpc_method="{{}}",grpc_service="{NAME}",grpc_type="{{}}"'

    def handled(code: str, method: str, kind: str) -> str:
        return f'grpc_server_handled_total{{grpc_code="{code}",{labels.format(method, kind)}}}'

    counted = [
        handled("OK", "Unary", "unary"),
        handled("INVALID_ARGUMENT", "Unary", "unary"),
        handled("INTERNAL", "BidiStream", "bidi_stream"),
        handled("CANCELLED", "Unary", "unary"),
        f"grpc_server_handling_seconds_count{{{labels.format('Unary', 'unary')}}}",
        f"grpc_server_started_total{{{labels.format('Unary', 'unary')}}}",
    ]
    async with echo(metrics_port=unused_tcp_port) as channel:
        before = await asyncio.to_thread(scraped, unused_tcp_port)
        await channel.unary_unary(UNARY)(b"0")
        await failure(channel.unary_unary(UNARY)(b"invalid"))
        await failure(channel.stream_stream(BIDI_STREAM)(iter([b"bug"])).read())
        call = channel.unary_unary(UNARY)(b"60")
        await asyncio.sleep(0.2)
        call.cancel()
        await asyncio.sleep(0.2)
        after = await asyncio.to_thread(scraped, unused_tcp_port)
    assert [after[name] - before.get(name, 0) for name in counted] == [1, 1, 1, 1, 3, 3]
    # The process may have other servers, which tests before this one have left.
    assert after["grpc_server_in_flight"] == before["grpc_server_in_flight"]
    assert not [name for name in after if "grpc.health" in name]


async def test_stores_are_timed_and_states_are_asked_for_when_scraped(unused_tcp_port: int) -> None:
    value = 1

    def state() -> list[Metric]:
        return [GaugeMetricFamily("test_state", "A state.", value)]

    async with echo(metrics_port=unused_tcp_port):
        with pytest.raises(ValueError), timed_store("test-search"):
            raise ValueError
        observe_build("test")
        with exporting(state):
            value = 2
            seen = await asyncio.to_thread(scraped, unused_tcp_port)
        gone = await asyncio.to_thread(scraped, unused_tcp_port)
    assert seen['store_seconds_count{operation="test-search",outcome="error"}'] == 1
    assert seen[f'service_build_info{{service="test",version="{version("shiwu")}"}}'] == 1
    assert seen["test_state"] == 2
    assert "test_state" not in gone


async def test_durations_carry_the_trace_of_their_call_for_those_who_ask(unused_tcp_port: int) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    request = urllib.request.Request(
        f"http://127.0.0.1:{unused_tcp_port}/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
    )

    def read() -> str:
        with urllib.request.urlopen(request) as response:
            assert response.headers["Content-Type"].startswith("application/openmetrics-text")
            return response.read().decode()

    async with echo(metrics_port=unused_tcp_port) as channel:
        await channel.unary_unary(UNARY)(b"0.3", metadata=(("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),))
        text = await asyncio.to_thread(read)
        plain = await asyncio.to_thread(scraped, unused_tcp_port)
    [line] = [line for line in text.splitlines() if trace in line]
    assert line.startswith("grpc_server_handling_seconds_bucket{")
    assert 'le="0.5"' in line
    assert not [name for name in plain if trace in name]


async def test_the_health_is_a_metric(unused_tcp_port: int) -> None:
    well = True

    async def check() -> bool:
        return well

    settings = ServerSettings(port=0, metrics_port=unused_tcp_port)
    async with running(NAME, add_echo, settings, {"test": check}):
        assert (await asyncio.to_thread(scraped, unused_tcp_port))["grpc_server_serving"] == 1
        well = False
        await asyncio.sleep(1.5)
        assert (await asyncio.to_thread(scraped, unused_tcp_port))["grpc_server_serving"] == 0


async def test_tasks_are_counted(unused_tcp_port: int) -> None:
    async with echo(metrics_port=unused_tcp_port):
        before = (await asyncio.to_thread(scraped, unused_tcp_port))["asyncio_tasks"]
        more = [asyncio.create_task(asyncio.sleep(60)) for _ in range(100)]
        grown = (await asyncio.to_thread(scraped, unused_tcp_port))["asyncio_tasks"] - before
        assert 90 < grown < 110  # the server's own come and go
        for task in more:
            task.cancel()


async def test_the_metrics_port_is_free_again_afterwards(unused_tcp_port: int) -> None:
    for _ in range(2):
        async with echo(metrics_port=unused_tcp_port):
            await asyncio.to_thread(scraped, unused_tcp_port)


async def test_a_connection_of_age_is_replaced_and_no_call_is_lost() -> None:
    clients: set[str] = set()

    async def answer(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        clients.add(context.peer())
        await asyncio.sleep(float(_request))
        return b"done"

    add = adding(grpc.unary_unary_rpc_method_handler, answer)
    settings = ServerSettings(port=0, max_connection_age_seconds=0.5)
    async with running(NAME, add, settings) as port, connect(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"/{NAME}/Method")
        long = call(b"2")  # under way when its connection is to end
        end = time.monotonic() + 2
        while time.monotonic() < end:
            await asyncio.gather(*(call(b"0.01") for _ in range(4)))
        assert await long == b"done"
    assert len(clients) > 1, "the connection has lived for four times its age"


def test_grpc_knows_every_option() -> None:
    """One that it does not know it ignores in silence."""
    known = Path(cygrpc.__file__).read_bytes()
    options = [*servers._options(ServerSettings(port=0)), *channels._options(ClientSettings(target="127.0.0.1:1"))]
    assert [name for name, _ in options if name.encode() not in known] == []

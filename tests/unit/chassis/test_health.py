"""Health that follows dependencies, for those who ask and those who watch."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from shiwu.chassis.channel import connect, is_serving
from shiwu.chassis.health import LIVENESS
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from tests.unit.chassis.conftest import Log
from tests.unit.chassis.echo_service import NAME, UNARY, add_echo
from tests.unit.chassis.test_errors import failure

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Dependency:
    def __init__(self, *, there: bool = True) -> None:
        self.there = there

    async def check(self) -> bool:
        return self.there


def serving(checks: Any = None, **settings: Any) -> Any:
    return running(NAME, add_echo, ServerSettings(port=0, **settings), checks=checks)


async def watched(port: int, service: str = NAME) -> Any:
    """A Watch of its own connection, past its first answer."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
    call = HealthStub(channel).Watch(HealthCheckRequest(service=service))
    call.channel = channel
    call.first = (await call.read()).status
    return call


async def status(watch: Any) -> int:
    async with asyncio.timeout(5):
        return (await watch.read()).status


@pytest.mark.parametrize("service", ["", NAME])
async def test_a_server_without_dependencies_serves(service: str) -> None:
    async with serving() as port, connect(f"127.0.0.1:{port}") as channel:
        response = await HealthStub(channel).Check(HealthCheckRequest(service=service))
        assert response.status == SERVING


async def test_an_unknown_service_is_not_found_and_watched_as_unknown() -> None:
    async with serving() as port, connect(f"127.0.0.1:{port}") as channel:
        error = await failure(HealthStub(channel).Check(HealthCheckRequest(service="no.Such")))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert (await watched(port, "no.Such")).first == HealthCheckResponse.SERVICE_UNKNOWN


async def test_health_follows_a_dependency_there_and_back() -> None:
    store = Dependency()
    async with serving({"store": store.check}) as port:
        watch = await watched(port)
        assert watch.first == SERVING
        store.there = False
        assert await status(watch) == NOT_SERVING
        store.there = True
        assert await status(watch) == SERVING


async def test_a_server_begins_unhealthy_without_its_dependency() -> None:
    async with serving({"good": Dependency().check, "bad": Dependency(there=False).check}) as port:
        assert (await watched(port)).first == NOT_SERVING


async def raising() -> bool:
    raise OSError("gone")


async def silent() -> bool:
    await asyncio.sleep(60)
    return True


@pytest.mark.parametrize("check", [raising, silent])
async def test_a_check_that_raises_or_is_silent_means_no_and_the_log_says_why(check: Any, log: Log) -> None:
    async with serving({"store": check}) as port:
        assert (await watched(port)).first == NOT_SERVING
    [entry] = [entry for entry in log() if entry["event"] == "dependency lost"]
    assert (entry["dependency"], entry["problem"] in ("OSError('gone')", "silent for 1 s")) == ("store", True)


async def test_one_watcher_that_leaves_does_not_deafen_the_others() -> None:
    store = Dependency()
    async with serving({"store": store.check}) as port:
        leaving, staying = await watched(port), await watched(port)
        leaving.cancel()
        await leaving.channel.close()
        await asyncio.sleep(0.1)
        store.there = False
        assert await status(staying) == NOT_SERVING


async def test_watchers_hear_of_the_drain_while_calls_in_flight_finish() -> None:
    server = serving(drain_seconds=5.0)
    port = await server.__aenter__()
    watch = await watched(port)
    async with connect(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(UNARY)(b"0.5")
        await asyncio.sleep(0.2)
        drained = asyncio.create_task(server.__aexit__(None, None, None))
        assert await status(watch) == NOT_SERVING
        assert not drained.done()
        assert (await call).isdigit()
        async with asyncio.timeout(3):  # the watch does not hold the drain up
            await drained


async def test_is_serving_tells_serving_from_not_and_from_nobody() -> None:
    store = Dependency()
    async with serving({"store": store.check}) as port, connect(f"127.0.0.1:{port}") as channel:
        assert await is_serving(channel)
    async with connect("127.0.0.1:1") as channel:
        assert not await is_serving(channel)
    async with serving({"store": Dependency(there=False).check}) as port, connect(f"127.0.0.1:{port}") as channel:
        assert not await is_serving(channel)


async def test_clients_do_not_call_a_server_that_says_it_does_not_serve() -> None:
    async with serving({"store": Dependency(there=False).check}) as port, connect(f"127.0.0.1:{port}") as channel:
        error = await failure(channel.unary_unary(UNARY)(b"0", timeout=2.0))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


async def said(channel: grpc.aio.Channel, service: str = "") -> int:
    return (await HealthStub(channel).Check(HealthCheckRequest(service=service))).status


async def test_a_server_without_its_dependency_is_alive_all_the_same() -> None:
    async with (
        serving({"store": Dependency(there=False).check}) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        assert (await said(channel, LIVENESS), await said(channel)) == (SERVING, NOT_SERVING)


async def test_health_alone_has_a_port_of_its_own_until_the_drain_is_over(unused_tcp_port: int) -> None:
    server = serving(health_port=unused_tcp_port, drain_seconds=5.0)
    port = await server.__aenter__()
    async with (
        connect(f"127.0.0.1:{port}") as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{unused_tcp_port}") as probing,
    ):
        assert (await said(probing, LIVENESS), await said(probing)) == (SERVING, SERVING)
        assert (await failure(probing.unary_unary(UNARY)(b"0"))).code() is grpc.StatusCode.UNIMPLEMENTED
        call = channel.unary_unary(UNARY)(b"0.5")
        await asyncio.sleep(0.2)
        drained = asyncio.create_task(server.__aexit__(None, None, None))
        await asyncio.sleep(0.1)
        assert (await said(probing, LIVENESS), await said(probing)) == (SERVING, NOT_SERVING)
        assert (await call).isdigit()
        await drained
        assert (await failure(HealthStub(probing).Check(HealthCheckRequest()))).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_taken_health_port_is_an_error_that_names_it() -> None:
    async with serving() as port:
        with pytest.raises(OSError, match=f"127.0.0.1:{port} for health checks"):
            async with serving(health_port=port):
                pass

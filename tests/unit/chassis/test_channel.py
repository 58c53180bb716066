"""Channels: balancing, retries, and riding out the loss of a backend."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import pytest

from shiwu.chassis import errors
from shiwu.chassis.channel import connect
from shiwu.chassis.server import running
from shiwu.chassis.settings import ClientSettings, ServerSettings
from tests.unit.chassis.echo_service import NAME, UNARY
from tests.unit.chassis.serving import EchoProcess, echo
from tests.unit.chassis.test_errors import adding, failure


def both(*ports: int) -> str:
    return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


async def test_calls_are_spread_over_the_addresses_and_ride_out_a_kill() -> None:
    with EchoProcess() as first, EchoProcess() as second:
        async with connect(both(first.port(), second.port())) as channel:
            call = channel.unary_unary(UNARY)
            await settled(call, 2)
            served = Counter([await call(b"0", timeout=5.0) for _ in range(20)])
            assert sorted(served.values()) == [10, 10]

            slow = [asyncio.create_task(ask(call, b"0.02")) for _ in range(20)]
            await asyncio.sleep(0.01)
            first.kill()  # half of them are being served there
            answers = await asyncio.gather(*slow)
            assert len(answers) == 20
            survivors = {await call(b"0", timeout=5.0) for _ in range(100)}
            assert len(survivors) == 1
            assert survivors < set(served)


async def ask(call: grpc.aio.UnaryUnaryMultiCallable, request: bytes) -> bytes:
    return await call(request, timeout=5.0)


async def settled(call: grpc.aio.UnaryUnaryMultiCallable, backends: int) -> None:
    """Waits until as many backends answer; connections come up one after the other."""
    seen: set[bytes] = set()
    async with asyncio.timeout(10):
        while len(seen) < backends:
            seen.add(await call(b"0", timeout=5.0))


async def test_a_backend_that_comes_back_is_used_again(unused_tcp_port: int) -> None:
    port = str(unused_tcp_port)
    with EchoProcess() as staying, EchoProcess(SERVER__PORT=port) as leaving:
        async with connect(both(staying.port(), leaving.port())) as channel:
            call = channel.unary_unary(UNARY)
            await settled(call, 2)
            leaving.kill()
            leaving.wait()
            assert len({await call(b"0", timeout=5.0) for _ in range(10)}) == 1
            with EchoProcess(SERVER__PORT=port) as back:
                back.port()
                await settled(call, 2)


async def test_a_channel_is_not_held_back_by_one_of_before_to_the_same_address(unused_tcp_port: int) -> None:
    async with connect(f"127.0.0.1:{unused_tcp_port}") as lost:
        for _ in range(5):  # until it waits for longer than a call is retried
            with pytest.raises(grpc.aio.AioRpcError) as kept:
                await lost.unary_unary(UNARY)(b"0", timeout=5.0)
    assert kept.value.code() is grpc.StatusCode.UNAVAILABLE
    with EchoProcess(SERVER__PORT=str(unused_tcp_port)) as back:
        back.port()
        async with connect(f"127.0.0.1:{unused_tcp_port}") as channel:
            await channel.unary_unary(UNARY)(b"0", timeout=5.0)


async def test_draining_one_of_two_backends_fails_no_call() -> None:
    with EchoProcess() as staying, EchoProcess() as leaving:
        async with connect(both(staying.port(), leaving.port())) as channel:
            call = channel.unary_unary(UNARY)
            await settled(call, 2)
            stop = time.monotonic() + 1.5
            terminated = False
            answers = 0
            while time.monotonic() < stop:
                await asyncio.gather(*(ask(call, b"0.005") for _ in range(4)))
                answers += 4
                if not terminated and time.monotonic() > stop - 1.2:
                    leaving.terminate()
                    terminated = True
            assert answers > 40
        assert await asyncio.to_thread(leaving.wait) == 0


class Flaky:
    """Fails so many times with an error, then answers."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left = times
        self.error = error
        self.calls = 0

    async def unary(self, request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return str(len(request)).encode()

    async def stream(self, request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield await self.unary(request, context)


@pytest.mark.parametrize("size", [1, 2_000_000])
async def test_unavailable_is_retried_for_pictures_too(size: int) -> None:
    flaky = Flaky(2, errors.UnavailableError("warming up"))
    add = adding(grpc.unary_unary_rpc_method_handler, flaky.unary)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        assert await channel.unary_unary(f"/{NAME}/Method")(b"x" * size, timeout=5.0) == str(size).encode()
    assert flaky.calls == 3


async def test_a_stream_that_has_not_answered_yet_is_retried() -> None:
    flaky = Flaky(1, errors.UnavailableError("warming up"))
    add = adding(grpc.unary_stream_rpc_method_handler, flaky.stream)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        assert [answer async for answer in channel.unary_stream(f"/{NAME}/Method")(b"x", timeout=5.0)] == [b"1"]


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidInputError("x"),
        errors.NotFoundError("x"),
        errors.AlreadyExistsError("x"),
        errors.PreconditionError("x"),
        errors.OverloadedError("x"),
        errors.DeadlineError("x"),
        KeyError("x"),
    ],
)
async def test_nothing_else_is_retried(error: Exception) -> None:
    flaky = Flaky(1, error)
    add = adding(grpc.unary_unary_rpc_method_handler, flaky.unary)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        await failure(channel.unary_unary(f"/{NAME}/Method")(b"x", timeout=5.0))
    assert flaky.calls == 1


async def test_retries_end() -> None:
    flaky = Flaky(100, errors.UnavailableError("for good"))
    add = adding(grpc.unary_unary_rpc_method_handler, flaky.unary)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        error = await failure(channel.unary_unary(f"/{NAME}/Method")(b"x", timeout=5.0))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "for good")
    assert flaky.calls == 4


async def test_messages_are_limited_at_the_client() -> None:
    async def big(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        return b"x" * (2 << 20)

    add = adding(grpc.unary_unary_rpc_method_handler, big)
    async with running(NAME, add, ServerSettings(port=0)) as port:
        settings = ClientSettings(target=f"127.0.0.1:{port}", max_message_mib=1)
        async with connect(settings) as channel:
            error = await failure(channel.unary_unary(f"/{NAME}/Method")(b""))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        async with connect(f"127.0.0.1:{port}") as channel:
            assert len(await channel.unary_unary(f"/{NAME}/Method")(b"")) == 2 << 20


async def test_channels_ignore_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with echo() as channel:
        assert (await channel.unary_unary(UNARY)(b"0", timeout=5.0)).isdigit()


async def test_the_callers_own_metadata_is_kept() -> None:
    seen: list[dict[str, str]] = []

    async def method(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        seen.append(dict(context.invocation_metadata()))
        return b""

    add = adding(grpc.unary_unary_rpc_method_handler, method)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"/{NAME}/Method")
        await call(b"", metadata=(("tenant", "a"),))
        await call(b"", metadata=grpc.aio.Metadata(("tenant", "b")))
    assert [metadata["tenant"] for metadata in seen] == ["a", "b"]

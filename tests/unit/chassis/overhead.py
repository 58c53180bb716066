"""What a hop costs with the chassis, against bare grpc.aio and the ways not taken: figures of docs/decisions/0002.

`python -m tests.unit.chassis.overhead 2>/dev/null` (the log of every call goes to stderr, and is part of the cost).
Servers and client share one process and one event loop, so a figure is the CPU time of both ends; the variants take
turns call by call, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import grpc
import uvloop

from shiwu.chassis import logs, tracing
from shiwu.chassis.calls import Call, current_call
from shiwu.chassis.channel import _Channel, _metadata, connect
from shiwu.chassis.deadlines import cut
from shiwu.chassis.interceptor import CallInterceptor
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from tests.unit.chassis.echo_service import NAME, UNARY, add_echo

_Hop = Callable[[], Awaitable[bytes]]
_CALLS = 3000


class ClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """What `connect` does, as the client interceptor that grpc.aio offers for it."""

    async def intercept_unary_unary(self, continuation, client_call_details, request):
        details = client_call_details._replace(
            timeout=cut(client_call_details.timeout),
            metadata=grpc.aio.Metadata(*_metadata(client_call_details.metadata)),
        )
        return await continuation(details, request)


@asynccontextmanager
async def bare(server_interceptors=(), client_interceptors=(), wrap=lambda channel: channel) -> AsyncIterator[_Hop]:
    server = grpc.aio.server(interceptors=list(server_interceptors))
    add_echo(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=list(client_interceptors)) as channel:
        yield _hop(wrap(channel))
    await server.stop(None)


@asynccontextmanager
async def chassis() -> AsyncIterator[_Hop]:
    async with running(NAME, add_echo, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        yield _hop(channel)


def _hop(channel: grpc.aio.Channel) -> _Hop:
    call = channel.unary_unary(UNARY)

    async def hop() -> bytes:
        return await call(b"0", timeout=5.0)

    return hop


async def measure(variants: dict[str, _Hop]) -> dict[str, list[float]]:
    """Milliseconds of every call of every variant."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(_CALLS + 200):
        for name, hop in variants.items():
            start = time.perf_counter()
            await hop()
            if number >= 200:
                times[name].append((time.perf_counter() - start) * 1000)
    return times


async def main() -> None:
    logs.configure("overhead")
    current_call.set(Call("/a/b", "an-id", "", time.monotonic() + 3600.0))
    tracing.start_span("/a/b", {})  # the caller serves a call itself, so that there is something to pass on
    async with AsyncExitStack() as stack:
        variants = {
            "bare": await stack.enter_async_context(bare()),
            "chassis": await stack.enter_async_context(chassis()),
            "server side alone": await stack.enter_async_context(bare([CallInterceptor(100)])),
            "client side alone": await stack.enter_async_context(bare(wrap=_Channel)),
            "client side as an interceptor": await stack.enter_async_context(bare([], [ClientInterceptor()])),
        }
        with suppress(ModuleNotFoundError):
            from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor

            variants["OpenTelemetry's interceptors alone"] = await stack.enter_async_context(
                bare([aio_server_interceptor()], aio_client_interceptors())
            )
        figures = await measure(variants)
    # The fastest tenth is what a hop costs when nothing else wants the processor.
    quiet = {name: statistics.quantiles(times, n=10)[0] for name, times in figures.items()}
    p50 = {name: statistics.median(times) for name, times in figures.items()}
    for name in figures:
        sys.stdout.write(
            f"{name:36} p10 {quiet[name]:.3f} ({quiet[name] - quiet['bare']:+.3f}), "
            f"p50 {p50[name]:.3f} ({p50[name] - p50['bare']:+.3f}) ms\n"
        )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

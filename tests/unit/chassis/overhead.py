"""What a hop costs with the chassis, against bare grpc.aio and the ways not taken: figures of docs/decisions/0002.

Also what TLS and access add to it: figures of docs/decisions/0019.

`python -m tests.unit.chassis.overhead 2>/dev/null` (the log of every call goes to stderr, and is part of the cost).
Servers and client share one process and one event loop, so a figure is the CPU time of both ends; the variants take
turns call by call, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc
import jwt
import uvloop
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from shiwu.chassis import logs, tracing
from shiwu.chassis.access import AccessTable
from shiwu.chassis.api_keys import create_key
from shiwu.chassis.calls import Call, current_call
from shiwu.chassis.channel import _Channel, _metadata, connect
from shiwu.chassis.deadlines import cut
from shiwu.chassis.interceptor import CallInterceptor
from shiwu.chassis.server import running
from shiwu.chassis.settings import AccessSettings, ClientSettings, ClientTls, ServerSettings, ServerTls
from tests.certificates import Authority
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
async def chassis(
    bearer: str = "", client: ClientTls | None = None, **settings: ServerTls | AccessSettings
) -> AsyncIterator[_Hop]:
    table = AccessTable({UNARY: ("use",)}, callers={"echo": ("use",)})
    async with running(NAME, add_echo, ServerSettings(port=0, **settings), table=table) as port:
        target = ClientSettings(target=f"127.0.0.1:{port}", tls=client or ClientTls())
        async with connect(target) as channel:
            yield _hop(channel, (("authorization", f"Bearer {bearer}"),) if bearer else ())


def doors(folder: Path) -> dict[str, AbstractAsyncContextManager[_Hop]]:
    """The chassis with each way of telling who calls."""
    pair, issuer = Authority().issue(folder, "echo"), rsa.generate_private_key(65537, 2048)
    key, _ = create_key(folder / "keys.json", prefix="x", scopes=["use"])
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": [{**RSAAlgorithm.to_jwk(issuer.public_key(), as_dict=True), "kid": "1"}]}))
    now = int(time.time())
    claims = {"iss": "i", "aud": "a", "sub": "s", "nbf": now, "exp": now + 3600, "scope": "use"}
    token = jwt.encode(claims, issuer, algorithm="RS256", headers={"kid": "1"})
    unlimited = {"rate": 1e6, "burst": 10**6}
    keys = AccessSettings(keys=folder / "keys.json", **unlimited)
    tokens = AccessSettings(jwks=str(jwks), issuer="i", audience="a", **unlimited)
    return {
        "chassis, API key": chassis(key, access=keys),
        "chassis, token (RS256)": chassis(token, access=tokens),
        "chassis, TLS": chassis(client=pair.client(mutual=False), tls=pair.server(mutual=False)),
        "chassis, mutual TLS, certificate": chassis(client=pair.client(), tls=pair.server()),
        "chassis, TLS, API key": chassis(key, pair.client(mutual=False), access=keys, tls=pair.server(mutual=False)),
    }


def _hop(channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> _Hop:
    call = channel.unary_unary(UNARY)

    async def hop() -> bytes:
        return await call(b"0", timeout=5.0, metadata=metadata)

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
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        variants |= {name: await stack.enter_async_context(door) for name, door in doors(folder).items()}
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

"""A gRPC server with health, reflection, metrics and graceful drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import grpc
import structlog
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION_NAME
from grpc_reflection.v1alpha.reflection import enable_server_reflection

from shiwu.chassis.health import Check, Health, serving_probes
from shiwu.chassis.interceptor import CallInterceptor
from shiwu.chassis.metrics import serving_metrics
from shiwu.chassis.settings import ServerSettings

_HEALTH_NAME = "grpc.health.v1.Health"
_MIB = 1 << 20
_log = structlog.get_logger()


@asynccontextmanager
async def running(
    name: str | Sequence[str],
    add: Callable[[grpc.aio.Server], None],
    settings: ServerSettings,
    checks: Mapping[str, Check] | None = None,
) -> AsyncIterator[int]:
    """Serves meanwhile, on the port that it yields; then drains: calls in flight get `drain_seconds` to finish.

    name: full name of the service, "shiwu.v1.DetectorService", or of several on the same server.
    add: adds their servicers to the server.
    checks: what the service cannot do without, by name. Asked every second (a second to answer); while one says
    False, raises or is silent, health is NOT_SERVING.
    Raises OSError if a port cannot be had.
    """
    names = (name,) if isinstance(name, str) else tuple(name)
    health = Health(names, checks or {})
    server = grpc.aio.server(interceptors=[CallInterceptor(settings.max_concurrent_rpcs)], options=_options(settings))
    add(server)
    add_HealthServicer_to_server(health, server)
    enable_server_reflection([*names, _HEALTH_NAME, REFLECTION_NAME], server)
    port = _bind(server, settings)
    with serving_metrics(settings.host, settings.metrics_port) as metrics_port:
        await health.poll()
        async with serving_probes(health, settings.host, settings.health_port):
            await server.start()
            following = asyncio.create_task(health.follow())
            _log.info("serving", services=names, host=settings.host, port=port, metrics_port=metrics_port)
            try:
                yield port
            finally:
                following.cancel()
                await _drain(server, health, settings.drain_seconds)


async def _drain(server: grpc.aio.Server, health: Health, grace: float) -> None:
    _log.info("draining", seconds=grace)
    # First word that no more calls are wanted, then refusal: a call that is arriving while the server begins to stop
    # would be lost, and not retried, since nobody knows whether it was served.
    await health.drain()
    start = time.monotonic()
    stopping = asyncio.create_task(server.stop(grace))
    health.release()
    await stopping
    seconds = round(time.monotonic() - start, 2)
    _log.info("stopped", seconds=seconds, cut_off=seconds >= grace > 0)


def _bind(server: grpc.aio.Server, settings: ServerSettings) -> int:
    address = f"{settings.host}:{settings.port}"
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        msg = f"cannot listen on {address}: is the port taken, the host one of this machine's?"
        raise OSError(msg) from error


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    age = settings.max_connection_age_seconds
    return [
        *([] if age is None else [("grpc.max_connection_age_ms", int(age * 1000))]),
        ("grpc.max_receive_message_length", settings.max_message_mib * _MIB),
        ("grpc.max_send_message_length", settings.max_message_mib * _MIB),
        ("grpc.so_reuseport", 0),  # a second server on the port is a mistake, not a worker
        # Clients ping idle connections to notice dead peers; without these the server would hang up on them.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ]

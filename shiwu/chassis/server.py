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

from shiwu.chassis.access import Access, AccessTable, access
from shiwu.chassis.audit import AuditLog
from shiwu.chassis.health import Check, Health, serving_probes
from shiwu.chassis.interceptor import CallInterceptor
from shiwu.chassis.metrics import serving_metrics, watch_tasks
from shiwu.chassis.settings import ServerSettings
from shiwu.chassis.tls import server_credentials

_HEALTH_NAME = "grpc.health.v1.Health"
_LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})
_MIB = 1 << 20
_FEWEST_STREAMS = 100  # RFC 9113 advises at least so many
_AGE_GRACE = 300  # seconds that calls under way get when their connection is too old
_log = structlog.get_logger()


@asynccontextmanager
async def running(
    name: str | Sequence[str],
    add: Callable[[grpc.aio.Server], None],
    settings: ServerSettings,
    checks: Mapping[str, Check] | None = None,
    *,
    table: AccessTable | None = None,
    audit: AuditLog | None = None,
) -> AsyncIterator[int]:
    """Serves meanwhile, on the port that it yields; then drains: calls in flight get `drain_seconds` to finish.

    name: full name of the service, "shiwu.v1.DetectorService", or of several on the same server.
    add: adds their servicers to the server.
    checks: what the service cannot do without, by name. Asked every second (a second to answer); while one says
    False, raises or is silent, health is NOT_SERVING.
    table: who may call what, where the settings ask for it; unset: a method needs the scope `admin`.
    audit: where calls that change something are noted.
    Raises OSError if a port cannot be had, TlsError and KeyFileError if a file of that kind cannot be used.
    """
    names = (name,) if isinstance(name, str) else tuple(name)
    health = Health(names, checks or {})
    guard = access(table or AccessTable(), settings)
    server = grpc.aio.server(
        interceptors=[CallInterceptor(settings.max_concurrent_rpcs, guard, audit)], options=_options(settings)
    )
    add(server)
    add_HealthServicer_to_server(health, server)
    if guard is None:  # who may not call need not know what there is to call
        enable_server_reflection([*names, _HEALTH_NAME, REFLECTION_NAME], server)
    _warn_of_openness(settings, guard)
    port = _bind(server, settings)
    watch_tasks()
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
        if settings.tls.certificate is not None:
            return server.add_secure_port(address, server_credentials(settings.tls))
        return server.add_insecure_port(address)
    except RuntimeError as error:
        msg = f"cannot listen on {address}: is the port taken, the host one of this machine's?"
        raise OSError(msg) from error


def _warn_of_openness(settings: ServerSettings, guard: Access | None) -> None:
    if settings.host in _LOOPBACK or settings.host.startswith("unix:"):
        return
    if guard is None:
        _log.warning("open: whoever reaches this server may call it; see docs/security.md", host=settings.host)
    elif settings.tls.certificate is None:
        _log.warning("no TLS: keys and tokens travel in the clear; see docs/security.md", host=settings.host)


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_mib * _MIB),
        ("grpc.max_send_message_length", settings.max_message_mib * _MIB),
        ("grpc.so_reuseport", 0),  # a second server on the port is a mistake, not a worker
        # Clients ping idle connections to notice dead peers; without these the server would hang up on them.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.server_handshake_timeout_ms", round(settings.handshake_seconds * 1000)),
        ("grpc.max_connection_age_ms", round(settings.max_connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", _AGE_GRACE * 1000),
        # A peer that is gone without a word is noticed, and its calls end.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # One connection cannot queue more calls than are served.
        ("grpc.max_concurrent_streams", max(settings.max_concurrent_rpcs, _FEWEST_STREAMS)),
    ]

"""Channels to other services: spread over their addresses, retried where that is safe, cut to the caller's deadline."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self

import grpc
import structlog
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from shiwu.chassis.calls import current_call
from shiwu.chassis.deadlines import cut
from shiwu.chassis.interceptor import REQUEST_ID
from shiwu.chassis.settings import ClientSettings
from shiwu.chassis.statuses import foreign_errors
from shiwu.chassis.tls import TlsError, client_credentials, client_files
from shiwu.chassis.tracing import trace_headers

__all__ = ["connect", "foreign_errors", "is_serving"]

_MIB = 1 << 20
_OLD_GRACE = 60.0  # seconds that calls on a channel with old certificates get to end
_log = structlog.get_logger()
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    # Addresses whose server says NOT_SERVING get no calls.
    "healthCheckConfig": {"serviceName": ""},
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


def connect(to: ClientSettings | str) -> grpc.aio.Channel:
    """A channel to a service. Connects when first used; close it, or use it as an async context manager.

    Its calls carry the request id and trace of the call being served, and end before that call's deadline does;
    when that has passed they raise DeadlineError at once. Raises TlsError.
    """
    settings = ClientSettings(target=to) if isinstance(to, str) else to
    if settings.tls.ca is not None:
        return _RenewedChannel(settings)
    return _Channel(grpc.aio.insecure_channel(settings.target, options=_options(settings)))


async def is_serving(channel: grpc.aio.Channel, timeout: float = 1.0) -> bool:  # noqa: ASYNC109 (gRPC's own)
    """Whether the server at the other end answers and says that it serves."""
    try:
        response = await HealthStub(channel).Check(HealthCheckRequest(), timeout=timeout)
    except grpc.aio.AioRpcError:
        return False
    return bool(response.status == HealthCheckResponse.SERVING)


def _options(settings: ClientSettings) -> list[tuple[str, int | str]]:
    limit = settings.max_message_mib * _MIB
    return [
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", limit),
        # A message that does not fit in the buffer is sent without retries: 256 KiB by default, less than a picture.
        ("grpc.per_rpc_retry_buffer_size", limit),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 3_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # A peer that restarts is found again soon.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),
        # Else it would wait as long as any other channel to the address, even a closed one of which an error is kept.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),  # peers are near; a proxy of the environment is meant for the web
    ]


class _Channel(grpc.aio.Channel):
    """A channel whose calls are prepared by `_prepared`.

    What client interceptors are for; grpc.aio runs those in tasks of their own, which costs nearly twice as much
    (docs/decisions/0002).
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def unary_unary(self, method: str, *args: Any, **options: Any) -> Any:
        return _prepared(method, self._channel.unary_unary(method, *args, **options))

    def unary_stream(self, method: str, *args: Any, **options: Any) -> Any:
        return _prepared(method, self._channel.unary_stream(method, *args, **options))

    def stream_unary(self, method: str, *args: Any, **options: Any) -> Any:
        return _prepared(method, self._channel.stream_unary(method, *args, **options))

    def stream_stream(self, method: str, *args: Any, **options: Any) -> Any:
        return _prepared(method, self._channel.stream_stream(method, *args, **options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()


class _RenewedChannel(_Channel):
    """A channel over TLS that is made anew when its certificates have changed: gRPC has no other way in Python.

    A multicallable made of it stays good; its next call goes over the new channel, calls under way end on the old one.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._files = client_files(settings.tls)
        self._old: dict[grpc.aio.Channel, asyncio.Task[None]] = {}
        super().__init__(self._open())

    def unary_unary(self, method: str, *args: Any, **options: Any) -> Any:
        return _prepared(method, self._latest("unary_unary", method, *args, **options))

    def unary_stream(self, method: str, *args: Any, **options: Any) -> Any:
        return _prepared(method, self._latest("unary_stream", method, *args, **options))

    def stream_unary(self, method: str, *args: Any, **options: Any) -> Any:
        return _prepared(method, self._latest("stream_unary", method, *args, **options))

    def stream_stream(self, method: str, *args: Any, **options: Any) -> Any:
        return _prepared(method, self._latest("stream_stream", method, *args, **options))

    async def close(self, grace: float | None = None) -> None:
        for channel, retiring in list(self._old.items()):
            retiring.cancel()
            await channel.close(grace)
        await super().close(grace)

    def _latest(self, kind: str, method: str, *args: Any, **options: Any) -> Any:
        """A multicallable of the channel as it is at each call."""
        channel = self._channel
        start = getattr(channel, kind)(method, *args, **options)

        def start_latest(*request: Any, **call_options: Any) -> Any:
            nonlocal channel, start
            self._renew()
            if channel is not self._channel:
                channel = self._channel
                start = getattr(channel, kind)(method, *args, **options)
            return start(*request, **call_options)

        return start_latest

    def _renew(self) -> None:
        if not self._files.changed():
            return
        old = self._channel
        try:
            self._channel = self._open()
        except TlsError as error:
            _log.error("the certificate stays as it was", problem=str(error))
            return
        self._old[old] = asyncio.create_task(self._retire(old))

    async def _retire(self, channel: grpc.aio.Channel) -> None:
        # Not close(grace): once that waits, nothing can make it stop waiting.
        await asyncio.sleep(_OLD_GRACE)
        del self._old[channel]
        await channel.close()

    def _open(self) -> grpc.aio.Channel:
        options = _options(self._settings)
        if self._settings.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self._settings.tls.server_name))
        return grpc.aio.secure_channel(self._settings.target, client_credentials(self._settings.tls), options=options)


def _prepared(method: str, start: Any) -> Any:
    """The multicallable `start`, with the deadline cut and the ids added to every call."""

    def call(request: Any = None, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        return start(request, timeout=cut(timeout), metadata=_metadata(metadata), **options)

    call.__name__ = method
    return call


def _metadata(given: Any) -> tuple[tuple[str, str | bytes], ...]:
    call = current_call.get()
    ids = () if call is None else ((REQUEST_ID, call.request_id),)
    return (*(given or ()), *ids, *trace_headers())

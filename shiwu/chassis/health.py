"""gRPC health of a server that follows what it depends on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

from shiwu.chassis.metrics import observe_serving

Check = Callable[[], Awaitable[bool]]

LIVENESS = "liveness"
"""Name under which a server is healthy for as long as it answers, whatever it depends on: what should be restarted
is asked for by this name, what should get calls by the name of its service or by none."""

_INTERVAL = 1.0  # seconds between polls of the dependencies, and how long one may take to answer
_NOTICE = 0.2  # seconds from the word that a server drains until it refuses calls
_log = structlog.get_logger()


class Health(HealthServicer):  # type: ignore[misc]
    """Health of all services of one server; they share its dependencies, so they share its state.

    grpcio-health-checking's own servicer loses the other watchers of a service when one of them leaves.
    """

    def __init__(self, services: Iterable[str], checks: Mapping[str, Check]) -> None:
        """services: their full names. checks: by name, whether something that the server cannot do without answers."""
        self._services = frozenset(("", *services))
        self._checks = checks
        self._lost: frozenset[str] = frozenset()
        self._serving = False
        self._draining = False
        self._released = False
        self._watchers = 0
        self._changed = asyncio.Event()
        observe_serving(serving=False)

    async def Check(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        if request.service not in self._services and request.service != LIVENESS:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service {request.service!r}")
        return HealthCheckResponse(status=self._status(request.service))

    async def Watch(  # noqa: N802
        self, request: HealthCheckRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        last = None
        self._watchers += 1
        try:
            while not self._released:
                changed, status = self._changed, self._status(request.service)
                if status != last:
                    yield HealthCheckResponse(status=status)
                    last = status
                await changed.wait()
        finally:
            self._watchers -= 1

    async def poll(self) -> None:
        """Asks every dependency once, at the same time."""
        answers = await asyncio.gather(*(_problem(check) for check in self._checks.values()))
        lost = {name: problem for name, problem in zip(self._checks, answers, strict=True) if problem}
        for name in lost.keys() - self._lost:
            _log.warning("dependency lost", dependency=name, problem=lost[name])
        for name in self._lost - lost.keys():
            _log.info("dependency back", dependency=name)
        self._lost = frozenset(lost)
        self._set(serving=not lost)

    async def follow(self) -> None:
        """Polls the dependencies for as long as it runs."""
        while self._checks:
            await asyncio.sleep(_INTERVAL)
            await self.poll()

    async def drain(self) -> None:
        """NOT_SERVING for good; returns when those who watch had the time to turn elsewhere."""
        self._draining = True
        self._serving = False
        self._notify()
        if self._watchers:
            await asyncio.sleep(_NOTICE)

    def release(self) -> None:
        """Ends the streams of those who watch, which would hold a stopping server up until the end of its grace."""
        self._released = True
        self._notify()

    def _status(self, service: str) -> Any:
        if service == LIVENESS:
            return HealthCheckResponse.SERVING
        if service not in self._services:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if self._serving else HealthCheckResponse.NOT_SERVING

    def _set(self, *, serving: bool) -> None:
        if not self._draining and serving != self._serving:
            self._serving = serving
            self._notify()

    def _notify(self) -> None:
        observe_serving(serving=self._serving)
        self._changed.set()
        self._changed = asyncio.Event()


@asynccontextmanager
async def serving_probes(health: Health, host: str, port: int | None) -> AsyncIterator[None]:
    """Answers health checks, and nothing else, on a port of their own meanwhile; on none if that is None.

    For Kubernetes' probes, which speak neither TLS nor access keys. Raises OSError if the port cannot be had.
    """
    if port is None:
        yield
        return
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_HealthServicer_to_server(health, server)
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        msg = f"cannot listen on {host}:{port} for health checks: is the port taken?"
        raise OSError(msg) from error
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


async def _problem(check: Check) -> str | None:
    """Why the dependency is not there, if it is not: whatever its check raises means that."""
    try:
        async with asyncio.timeout(_INTERVAL):
            return None if await check() else "it says no"
    except TimeoutError:
        return f"silent for {_INTERVAL:g} s"
    except Exception as error:
        return repr(error)

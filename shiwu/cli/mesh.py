"""The services as processes of this machine, on embedded stores."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shiwu.cli.connection import connected
from shiwu.inference.released import DETECTOR, EMBEDDER

SERVICES: Final = ("gateway", "detector", "embedder", "classifier", "search", "catalog")
"""In the order of their ports."""

_PEERS: Final = {
    "gateway": ("detector", "embedder", "classifier", "search", "catalog"),
    "catalog": ("detector", "embedder", "search"),
}


class MeshError(RuntimeError):
    """A service ended or did not become ready."""


@dataclass(frozen=True)
class Layout:
    """Where a mesh on one machine keeps its files and listens.

    extra: more environment of the services, by its full name ("GATEWAY_RERANK"); the caller's own comes first.
    """

    home: Path
    port: int = 50050
    models: Path = Path("models")
    import_roots: tuple[Path, ...] = (Path(),)
    extra: Mapping[str, str] = field(default_factory=dict)

    def target(self, service: str) -> str:
        return f"127.0.0.1:{self.port + SERVICES.index(service)}"

    def environment(self, service: str) -> dict[str, str]:
        """The settings of one service."""
        prefix = service.upper()
        home, models = self.home.resolve(), self.models.resolve()
        own = {f"{prefix}_SERVER__PORT": str(self.port + SERVICES.index(service))}
        own |= {f"{prefix}_{peer.upper()}__TARGET": self.target(peer) for peer in _PEERS.get(service, ())}
        own |= {
            "gateway": {"GATEWAY_MODELS": str(models)},
            "detector": {"DETECTOR_MODEL": str(models / DETECTOR)},
            "embedder": {"EMBEDDER_MODELS": json.dumps([str(models / EMBEDDER)])},
            "classifier": {"CLASSIFIER_MODELS": str(models)},
            "search": {"SEARCH_HOME": str(home)},
            "catalog": {
                "CATALOG_DATABASE_URL": f"sqlite+aiosqlite:///{home / 'catalog.db'}",
                "CATALOG_IMPORTS__ERRORS": str(home / "imports"),
                "CATALOG_IMPORTS__ROOTS": json.dumps([str(root.resolve()) for root in self.import_roots]),
            },
        }[service]
        return own | {name: value for name, value in self.extra.items() if name.startswith(f"{prefix}_")}


class Mesh:
    """Running services. Use as a context manager; leaving it ends them."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Mesh:
        self.layout.home.mkdir(parents=True, exist_ok=True)
        (self.layout.home / "logs").mkdir(exist_ok=True)
        for service in SERVICES:
            self.start(service)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, service: str, extra: Mapping[str, str] | None = None) -> None:
        """Starts one service's process, with `extra` settings; its log is appended to home/logs."""
        environment = {**self.layout.environment(service), **os.environ, **(extra or {}), "PYTHONUNBUFFERED": "1"}
        with self.log(service).open("ab") as log:
            self._processes[service] = subprocess.Popen(  # noqa: S603  our own interpreter and modules
                [sys.executable, "-m", f"services.{service}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is ours to hand on, in order
            )

    def log(self, service: str) -> Path:
        return self.layout.home / "logs" / f"{service}.log"

    def pid(self, service: str) -> int:
        return self._processes[service].pid

    def ended(self) -> list[str]:
        """Services whose process has ended."""
        return [service for service, process in self._processes.items() if process.poll() is not None]

    def kill(self, service: str) -> None:
        """Ends one service at once, as a crash would."""
        self._processes[service].kill()
        self._processes[service].wait()

    def restart(self, service: str, extra: Mapping[str, str] | None = None) -> None:
        """Ends one service in good order and starts it again, with `extra` settings; returns when it serves."""
        self._processes[service].terminate()
        self._processes[service].wait()
        self.start(service, extra)
        self.wait_ready()

    def wait_ready(self, timeout: float = 60.0, on_ready: Callable[[str], None] = lambda _: None) -> None:
        """Returns when every service serves; raises MeshError with the end of its log when one does not."""
        deadline = time.monotonic() + timeout
        waiting = set(SERVICES)
        while waiting:
            for service in sorted(waiting):
                if serving(self.layout.target(service)):
                    waiting.discard(service)
                    on_ready(service)
            if ended := self.ended():
                msg = f"{ended[0]} ended at its start; the end of {self.log(ended[0])}:\n{self._log_end(ended[0])}"
                raise MeshError(msg)
            if time.monotonic() > deadline:
                late = ", ".join(sorted(waiting))
                msg = f"not ready after {timeout:.0f} s: {late}; see the logs in {self.log(late.split(',')[0]).parent}"
                raise MeshError(msg)
            time.sleep(0.05)

    def stop(self, grace: float = 15.0) -> None:
        """Ends all services: the gateway first, so that what is under way still finds its peers."""
        for service in SERVICES:
            if service in self._processes and self._processes[service].poll() is None:
                self._processes[service].send_signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log_end(self, service: str) -> str:
        return "\n".join(self.log(service).read_text(encoding="utf-8", errors="replace").splitlines()[-12:])


_CHANCE: Final = random.SystemRandom()  # which nobody seeds: processes beside this one must draw otherwise


def free_ports(count: int = len(SERVICES)) -> int:
    """The first of so many free ports in a row, as many as a mesh has services, for one that must not meet another.

    Not of those that the kernel gives to connections (from 32768 on): one of them may take it before it is used.
    """
    for _ in range(100):
        first = _CHANCE.randrange(10_000, 20_000)
        if all(_is_free(first + i) for i in range(count)):
            return first
    msg = f"found no {count} free ports in a row"
    raise MeshError(msg)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def serving(target: str, timeout: float = 1.0) -> bool:
    """Whether the server there says that it serves."""
    with connected(target) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

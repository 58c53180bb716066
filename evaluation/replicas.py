"""A mesh on this machine with several processes of a service, each of which can be killed, frozen and restarted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from evaluation.processes import free_ports
from shiwu.cli.mesh import SERVICES, Layout, MeshError, serving

_STOP_SECONDS = 20.0
_READY_SECONDS = 120.0
_LOG_END = 12  # lines that an error shows
_TARGET = "__TARGET"


class Replica(NamedTuple):
    """One process of a service, counted from 0."""

    service: str
    number: int

    def __str__(self) -> str:
        return f"{self.service}-{self.number}"


class Replicas:
    """The processes of a mesh. Clients spread their calls over all of a service's addresses."""

    def __init__(
        self,
        layout: Layout,
        counts: Mapping[str, int],
        *,
        via: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        logs: Path | None = None,
        metrics: bool = False,
    ) -> None:
        """layout: where files are, and the settings; its port is not used. counts: processes; 1 where it says nothing.

        via: target of a service, if other services reach it through something else. environment: for every process.
        logs: folder of the logs, if not layout.home/logs. metrics: serve Prometheus metrics.
        """
        self.all = tuple(Replica(name, number) for name in SERVICES for number in range(counts.get(name, 1)))
        self.logs = logs or layout.home / "logs"
        self._layout = layout
        self._via = dict(via or {})
        self._environment = dict(environment or {})
        ports = free_ports(2 * len(self.all))
        self._ports = dict(zip(self.all, ports, strict=False))
        self._metrics = dict(zip(self.all, ports[len(self.all) :], strict=True)) if metrics else {}
        self._processes: dict[Replica, subprocess.Popen[bytes]] = {}

    def of(self, service: str) -> list[Replica]:
        """The processes of a service."""
        return [replica for replica in self.all if replica.service == service]

    def address(self, replica: Replica) -> str:
        """host:port of one process."""
        return f"127.0.0.1:{self._ports[replica]}"

    def target(self, service: str) -> str:
        """gRPC target of all processes of a service."""
        addresses = [self.address(replica) for replica in self.of(service)]
        return addresses[0] if len(addresses) == 1 else "ipv4:" + ",".join(addresses)

    def metrics_port(self, replica: Replica) -> int:
        """Where it serves its metrics, if it does."""
        return self._metrics[replica]

    def pid(self, replica: Replica) -> int:
        """Of its present process."""
        return self._processes[replica].pid

    def start(self, replica: Replica) -> None:
        """Starts the process; it is not ready yet. Its log is appended to."""
        with self.log(replica).open("ab") as log:
            self._processes[replica] = subprocess.Popen(
                [sys.executable, "-m", f"services.{replica.service}"],
                env=os.environ | self._settings(replica) | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, replica: Replica) -> None:
        """Ends it as a crash does."""
        self._processes[replica].kill()
        self._processes[replica].wait()

    def freeze(self, replica: Replica) -> None:
        """Stops it from doing anything; its connections stay."""
        os.kill(self.pid(replica), signal.SIGSTOP)

    def thaw(self, replica: Replica) -> None:
        """Lets a frozen one go on."""
        os.kill(self.pid(replica), signal.SIGCONT)

    def restart(self, replica: Replica) -> None:
        """Ends it in good order and starts it again; returns when it serves."""
        self._processes[replica].terminate()
        self._processes[replica].wait(_STOP_SECONDS)
        self.start(replica)
        self.wait_ready(replica)

    def wait_ready(self, *replicas: Replica) -> None:
        """Returns when these serve, all if none is named. Raises MeshError with the end of a log when one does not."""
        deadline = time.monotonic() + _READY_SECONDS
        waiting = list(replicas or self.all)
        while waiting:
            replica = waiting[0]
            if serving(self.address(replica)):
                waiting.pop(0)
                continue
            if self._processes[replica].poll() is not None or time.monotonic() > deadline:
                msg = f"{replica} does not serve; the end of {self.log(replica)}:\n{self._log_end(replica)}"
                raise MeshError(msg)
            time.sleep(0.05)

    def log(self, replica: Replica) -> Path:
        """Its log."""
        return self.logs / f"{replica}.log"

    @contextmanager
    def running(self) -> Iterator[None]:
        """All processes, ready; ended on leaving, the gateways first."""
        self._layout.home.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            for replica in self.all:
                self.start(replica)
            self.wait_ready()
            yield
        finally:
            self._stop()

    def _stop(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _settings(self, replica: Replica) -> dict[str, str]:
        prefix = replica.service.upper()
        settings = self._layout.environment(replica.service)
        for name in settings:
            if name.endswith(_TARGET):
                peer = name.removeprefix(f"{prefix}_").removesuffix(_TARGET).lower()
                settings[name] = self._via.get(peer) or self.target(peer)
        settings[f"{prefix}_SERVER__PORT"] = str(self._ports[replica])
        if self._metrics:
            settings[f"{prefix}_SERVER__METRICS_PORT"] = str(self._metrics[replica])
        return settings

    def _log_end(self, replica: Replica) -> str:
        return "\n".join(self.log(replica).read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_END:])

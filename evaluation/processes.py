"""Foreign servers as processes of this machine: started, waited for, killed, never left behind."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

HOST = "127.0.0.1"
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Servers on this machine are never asked through a proxy."""
_LOG_LINES = 15


class ServerProcess:
    """One server and what it starts, as one group; can be ended and started again."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """log: what it writes is added there. folder: where it runs. environment: beside that of this process."""
        self._name = name
        self._command = list(command)
        self._log = log
        self._folder = folder
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running server."""
        if self._process is None:
            msg = f"{self._name} is not running"
            raise RuntimeError(msg)
        return self._process.pid

    def start(self) -> None:
        """Starts it; see `wait`."""
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=os.environ | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        # Ends the group should this process die without cleaning up: then its end of the pipe closes.
        self._watcher = subprocess.Popen(
            ["sh", "-c", 'read _; kill -9 -"$1"', "sh", str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    def wait(self, problem: Callable[[], str | None], timeout: float) -> None:
        """Returns when it is ready; ends it and raises RuntimeError, with the end of its log, if it ends or is late.

        problem: why it is not ready yet; None: it is.
        """
        deadline = time.monotonic() + timeout
        while (reason := problem()) is not None:
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.end()
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
                msg = f"{self._name} does not start: {reason}; end of {self._log}:\n{tail}"
                raise RuntimeError(msg)
            time.sleep(0.05)

    def end(self, grace: float = 0.0) -> None:
        """SIGKILL to the group, after a SIGTERM and so many seconds to follow it, if any. Returns when it is gone."""
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None
        if self._process is None:
            return
        if grace:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on.

    Below the range that the kernel gives to outgoing connections, which could take one before the server does.
    """
    ports: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 12_000):  # which no test seeds
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            break
    return ports

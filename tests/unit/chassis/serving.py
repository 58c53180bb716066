"""The echo service in this process and in processes of its own."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import grpc

from shiwu.chassis.channel import connect
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from tests.unit.chassis.echo_service import NAME, add_echo

_PROGRAM = Path(__file__).with_name("echo_service.py")


@asynccontextmanager
async def echo(**settings: Any) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of the chassis to an echo service of the chassis."""
    server = ServerSettings(port=0, **settings)
    async with running(NAME, add_echo, server) as port, connect(f"127.0.0.1:{port}") as channel:
        yield channel


class EchoProcess:
    """The echo service as a process; stopped, one way or another, by the end of the `with` block."""

    def __init__(self, **settings: str) -> None:
        """settings: OBSERVABILITY__LOG_LEVEL="debug" and the like."""
        own = {f"ECHO_{name}": value for name, value in settings.items()}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHO_")}
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM)],
            env={**environment, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._said: queue.Queue[str] = queue.Queue()
        self.log: list[str] = []
        self._readers = [
            threading.Thread(target=_drain, args=(self._process.stdout, self._said.put)),
            threading.Thread(target=_drain, args=(self._process.stderr, self.log.append)),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> EchoProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self.wait()

    def says(self) -> str:
        """The next line on stdout: "loading", then the port."""
        return self._said.get(timeout=30)

    def port(self) -> int:
        assert self.says() == "loading"
        return int(self.says())

    def terminate(self, number: int = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float = 30) -> int:
        """The exit code."""
        code = self._process.wait(timeout)
        for reader in self._readers:
            reader.join()
        return code


def _drain(stream: IO[str] | None, put: Any) -> None:
    assert stream is not None
    with stream:
        for line in stream:
            put(line.strip())

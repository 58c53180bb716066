"""The life of a service's process: settings, logs, signals, the event loop and the exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import NoReturn, TypeVar

import structlog
import uvloop

from shiwu.chassis import logs
from shiwu.chassis.metrics import observe_build
from shiwu.chassis.settings import ObservabilitySettings, ServiceSettings, SettingsError, read_settings
from shiwu.chassis.tracing import TracingError, export_spans

_BAD_SETTINGS = 2
_GARBAGE = (10_000, 20, 50)  # new objects, and younger collections, after which Python looks for garbage
_Settings = TypeVar("_Settings", bound=ServiceSettings)
_log = structlog.get_logger()


def run(main: Callable[[_Settings], Awaitable[None]], settings_type: type[_Settings], name: str) -> NoReturn:
    """Runs `main` with its settings read from the environment, and exits: the whole of a service's `__main__`.

    name: what logs and traces call the service. Exit codes: 0 after SIGTERM or SIGINT, even while `main` still loads
    models; 1 if `main` raises; 2 if the settings are wrong, with a message on stderr that names each.
    """
    _signals.install()
    try:
        settings = read_settings(settings_type)
        _observe(settings.observability, name)
    except (SettingsError, TracingError) as error:
        sys.stderr.write(f"settings are wrong:\n{error}\n")
        sys.exit(_BAD_SETTINGS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_supervised(main(settings)))
        if _signals.interrupted:
            # A thread may still be loading a model; neither the loop's end nor the interpreter's would leave it.
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)


async def until_signalled() -> None:
    """Returns after SIGTERM or SIGINT. Only under `run`, when all that the service needs is there."""
    spare_the_collector()
    await _signals.wait()


def spare_the_collector() -> None:
    """What is there now, modules and models, stays: Python need not look for garbage in it, again and again.

    A call makes some hundred objects that die without it, so that it may look less often, too.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def _observe(settings: ObservabilitySettings, name: str) -> None:
    logs.configure(name, settings.log_level, settings.log_format)
    observe_build(name)
    if settings.otlp_endpoint:
        export_spans(settings.otlp_endpoint, name)


async def _supervised(main: Awaitable[None]) -> int:
    _signals.watch(asyncio.current_task())
    try:
        await main
    except (asyncio.CancelledError, _InterruptedError):
        if not _signals.interrupted:
            raise
        _log.info("stopped while starting")
    except Exception:
        _log.exception("failed")
        return 1
    return 0


class _InterruptedError(BaseException):
    """A signal came while the main task was busy starting."""


class _Signals:
    """SIGTERM and SIGINT: end a start at once, and a service that has started gracefully.

    Plain handlers rather than the loop's: those run between callbacks only, which a load that blocks does not allow.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._task: asyncio.Task[object] | None = None
        self._received: asyncio.Event | None = None

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def watch(self, task: asyncio.Task[object] | None) -> None:
        """From now on `task` is what a signal interrupts."""
        self._task = task

    async def wait(self) -> None:
        if self._task is None:
            msg = "until_signalled() works under run() only"
            raise RuntimeError(msg)
        self._received = asyncio.Event()
        await self._received.wait()

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._task is None:
            sys.exit(0)  # nothing has begun
        loop = self._task.get_loop()
        if self._received is not None:
            loop.call_soon_threadsafe(self._received.set)
        elif not self.interrupted and not self._task.done():
            self.interrupted = True
            if asyncio.current_task(loop) is self._task:
                raise _InterruptedError
            loop.call_soon_threadsafe(self._task.cancel)


_signals = _Signals()

"""The life of a service's process: settings, logs, signals, the event loop and the exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import NoReturn, TypeVar

import structlog
import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from shiwu.chassis import logs
from shiwu.chassis.settings import ServiceSettings
from shiwu.chassis.tracing import TracingError, export_spans

_BAD_SETTINGS = 2
_Settings = TypeVar("_Settings", bound=ServiceSettings)
_log = structlog.get_logger()


def run(main: Callable[[_Settings], Awaitable[None]], settings_type: type[_Settings], name: str) -> NoReturn:
    """Runs `main` with its settings read from the environment, and exits: the whole of a service's `__main__`.

    name: what logs and traces call the service. Exit codes: 0 after SIGTERM or SIGINT, even while `main` still loads
    models; 1 if `main` raises; 2 if the settings are wrong, with a message on stderr that names each.
    """
    signals = _Signals()
    signals.install()
    settings = _read(settings_type)
    observability = settings.observability
    logs.configure(name, observability.log_level, observability.log_format)
    if observability.otlp_endpoint:
        try:
            export_spans(observability.otlp_endpoint, name)
        except TracingError as error:
            _exit_for_settings([str(error)])
    ...

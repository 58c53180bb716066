"""Structured logs on stderr: one JSON object a line, with the ids of the call being served. Never payloads."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shiwu.chassis.calls import current_call


def configure(service: str, level: str = "info", style: Literal["json", "console"] = "json") -> None:
    """Sets up structlog, and the standard library's logging for what libraries say; repeatable."""
    number = logging.getLevelNamesMapping()[level.upper()]

    def add_service(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        _add_call,
    ]
    rendering: list[Processor] = _rendering(style)
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries chat at info; what they warn of is worth reading.
    root.setLevel(max(number, logging.WARNING) if level != "debug" else logging.INFO)


def _rendering(style: Literal["json", "console"]) -> list[Processor]:
    if style == "console":
        # The default traceback of rich shows local variables, and with them payloads.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]


def _add_call(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    call = current_call.get()
    if call is not None:
        event.setdefault("method", call.method)
        event["request_id"] = call.request_id
        event["trace_id"] = call.trace_id
    return event

"""Structured logs on stderr: one JSON object a line, with the ids of the call being served. Never payloads."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shiwu.chassis.calls import current_call

# json.dumps would build an encoder for every line.
_JSON = json.JSONEncoder(default=repr)


def configure(
    service: str, level: str = "info", style: Literal["json", "console"] = "json", stream: TextIO | None = None
) -> None:
    """Sets up structlog, and the standard library's logging for what libraries say; repeatable.

    stream: where to, if not to stderr.
    """
    sink = cast("TextIO", _Lossy(stream or sys.stderr))
    number = logging.getLevelNamesMapping()[level.upper()]

    def add_context(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["level"] = event.get("level", method)
        event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        event["service"] = service
        call = current_call.get()
        if call is not None:
            event["method"] = call.method
            event["request_id"] = call.request_id
            event["trace_id"] = call.trace_id
        return event

    rendering = _rendering(style)
    structlog.configure(
        processors=[add_context, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sink),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, add_context],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries chat at info; what they warn of is worth reading.
    root.setLevel(logging.INFO if level == "debug" else max(number, logging.WARNING))


class _Lossy:
    """A stream that loses what it cannot write: calls are answered though the disk under the log is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _rendering(style: Literal["json", "console"]) -> list[Processor]:
    if style == "console":
        # The default traceback of rich shows local variables, and with them payloads.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, _to_json]


def _to_json(_logger: WrappedLogger, _method: str, event: Any) -> str:
    return _JSON.encode(event)

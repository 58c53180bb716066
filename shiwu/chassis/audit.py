"""A log of its own for what callers change: who, what, when, with what outcome (docs/decisions/0020). Free of grpc."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from shiwu.chassis.access import current_caller
from shiwu.chassis.calls import current_call
from shiwu.chassis.errors import UnavailableError

Naming = Callable[[Any], Sequence[str]]
"""The names of the resources that a message, a request or the answer to it, is about."""

BEGUN = "BEGUN"
_STDERR = 2
_LONGEST_NAME, _MOST_NAMES = 500, 20
_log = structlog.get_logger()


class AuditLog:
    """One JSON object a line, only ever appended: one before an audited call is carried out, one when it has ended."""

    def __init__(self, names: Mapping[str, Naming], path: Path | None = None) -> None:
        """names: by full name of each audited method, none of which streams. path: where to; None: stderr.

        Raises OSError if the file cannot be written to.
        """
        self._names = names
        self._file = _STDERR if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def covers(self, method: str) -> bool:
        """Whether calls of the method are audited."""
        return method in self._names

    def entry(self, method: str, peer: str) -> AuditEntry:
        """For one call. peer: the client's address."""
        return AuditEntry(self._file, self._names[method], peer)


class AuditEntry:
    """What is noted of one call."""

    def __init__(self, file: int, naming: Naming, peer: str) -> None:
        self._file = file
        self._naming = naming
        self._peer = peer
        self._resources: dict[str, None] = {}

    def begin(self, request: Any) -> None:
        """Raises UnavailableError: what cannot be noted is not done."""
        self._name(request)
        try:
            self._write(BEGUN)
        except OSError as error:
            msg = "the audit log cannot be written, so nothing is changed"
            raise UnavailableError(msg) from error

    def end(self, outcome: str, response: Any) -> None:
        """outcome: name of the call's status code. response: None if there is none."""
        if response is not None:
            self._name(response)
        try:
            self._write(outcome)
        except OSError:
            _log.exception("the audit log cannot be written", outcome=outcome, resources=list(self._resources))

    def _name(self, message: Any) -> None:
        names = (name[:_LONGEST_NAME] for name in self._naming(message)[:_MOST_NAMES])
        self._resources |= dict.fromkeys(filter(None, names))

    def _write(self, outcome: str) -> None:
        call, caller = current_call.get(), current_caller.get()
        line = {
            "log": "audit",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "caller": "anybody" if caller is None else caller.id,
            "method": call.method if call else "",
            "resources": list(self._resources),
            "outcome": outcome,
            "peer": self._peer,
            "request_id": call.request_id if call else "",
            "trace_id": call.trace_id if call else "",
        }
        # One write of a whole line: with O_APPEND, lines of several processes do not mix.
        os.write(self._file, (json.dumps(line) + "\n").encode())

"""The call that the running task serves: who asked, under which id, until when. Free of grpc."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC being served; set once by the server's interceptor, read by logs, deadlines and outgoing calls."""

    method: str
    """Full name: "/shiwu.v1.DetectorService/Detect"."""
    request_id: str
    """Given by the first caller or made at the first hop; the same on every hop of one request."""
    trace_id: str
    """W3C trace id, 32 hex digits."""
    deadline: float | None
    """When the caller stops waiting, on the clock of `time.monotonic`; None: never."""


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)

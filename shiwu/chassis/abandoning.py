"""Calls whose answer nobody wants any more.

Cancelling one that is under way loses a part of the answer that arrives all the same: with grpcio 1.85 some 2 KB, for
ever (`python -m tests.unit.chassis.cancelled_calls` prints it). So it is let come; its deadline ends it at the latest.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

_abandoned: Final[set[asyncio.Future[Any]]] = set()
"""The event loop itself would not keep them."""


def abandon(call: asyncio.Future[Any]) -> None:
    """Lets a call come to its end, whatever that is."""
    _abandoned.add(call)
    call.add_done_callback(_forget)


def _forget(call: asyncio.Future[Any]) -> None:
    _abandoned.discard(call)
    if not call.cancelled():
        call.exception()  # nobody else will look at it

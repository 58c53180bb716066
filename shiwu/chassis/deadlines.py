"""How long the caller of the current RPC still waits, and how much of it a part may use. Free of grpc."""

from __future__ import annotations

import time

from shiwu.chassis.calls import current_call
from shiwu.chassis.errors import DeadlineError

MARGIN = 0.15
"""Seconds kept back from every part, so that there is time to answer when the part fails to.

An idle virtual machine wakes slowly: after two to ten seconds of waiting for a part, the wait ended 30 ms late on one
of two cores, and the answer took 70 ms more to reach the caller.
"""
_MARGIN_SHARE = 0.1  # of what is left, so that a short deadline is not all margin


def remaining() -> float | None:
    """Seconds until the deadline of the RPC being served, negative once it has passed; None if there is none."""
    call = current_call.get()
    if call is None or call.deadline is None:
        return None
    return call.deadline - time.monotonic()


def budget(limit: float) -> float:
    """Seconds that a part may take: `limit`, or what the caller's deadline leaves less a margin, if that is shorter.

    Raises DeadlineError when nothing is left.
    """
    left = remaining()
    return limit if left is None else min(limit, _usable(left))


def cut(timeout: float | None) -> float | None:
    """As `budget`, for a timeout that may be None (none of its own); None if there is no deadline either."""
    left = remaining()
    if left is None:
        return timeout
    usable = _usable(left)
    return usable if timeout is None else min(timeout, usable)


def _usable(left: float) -> float:
    if left <= 0:
        msg = "the caller's deadline has passed"
        raise DeadlineError(msg)
    return left - min(MARGIN, left * _MARGIN_SHARE)

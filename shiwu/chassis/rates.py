"""How often and how many times at once a caller may call. Free of grpc."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shiwu.chassis.errors import OverloadedError

_BUSY_RETRY = 0.5  # seconds; when a call of theirs ends is theirs to know
_MOST_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one caller may ask of one process."""

    rate: float
    """Calls per second in the long run."""
    burst: int
    """Calls that may come at once after a quiet time."""
    concurrency: int
    """Calls under way at the same time."""


@dataclass(slots=True)
class _Account:
    tokens: float
    counted: float
    """When `tokens` was true."""
    in_flight: int = 0


class Rates:
    """A token bucket and a count of calls under way for each caller.

    Only so many callers are remembered, the latest; one that was forgotten starts with a full bucket.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    @contextmanager
    def serving(self, caller: str, allowance: Allowance) -> Iterator[None]:
        """Counts a call of `caller` until the block ends. Raises OverloadedError, which says when to come back."""
        account = self._account(caller, allowance)
        if account.in_flight >= allowance.concurrency:
            msg = f"{allowance.concurrency} calls of this caller are already being served"
            raise OverloadedError(msg, retry_after=_BUSY_RETRY)
        if account.tokens < 1:
            msg = f"this caller may make {allowance.rate:g} calls a second"
            raise OverloadedError(msg, retry_after=(1 - account.tokens) / allowance.rate)
        account.tokens -= 1
        account.in_flight += 1
        try:
            yield
        finally:
            account.in_flight -= 1

    def _account(self, caller: str, allowance: Allowance) -> _Account:
        now = self._clock()
        account = self._accounts.get(caller)
        if account is None:
            account = self._accounts[caller] = _Account(allowance.burst, now)
            if len(self._accounts) > _MOST_CALLERS:
                self._forget_one()
        self._accounts.move_to_end(caller)
        account.tokens = min(allowance.burst, account.tokens + (now - account.counted) * allowance.rate)
        account.counted = now
        return account

    def _forget_one(self) -> None:
        idle = next((name for name, account in self._accounts.items() if not account.in_flight), None)
        if idle is not None:
            del self._accounts[idle]

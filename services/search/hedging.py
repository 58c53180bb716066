"""Second attempts for calls that take longer than usual (Dean and Barroso, "The Tail at Scale", 2013)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.search.watch import Latency
from shiwu.chassis.abandoning import abandon

T = TypeVar("T")
_LEAST = 50
"""Calls that must have been seen before any is called slow."""
_BURST = 5.0
"""Second attempts that may be saved up."""


class Hedge:
    """Repeats a call elsewhere when it is slower than most, and takes the answer that comes first."""

    def __init__(self, share: float, *, quantile: float = 0.95) -> None:
        """share: of calls that may be repeated, so that a store that is slow as a whole is not asked twice as much.

        quantile: a call is slow when it takes longer than this share of the latest calls did.
        """
        self.latency = Latency()
        self._share = share
        self._quantile = quantile
        self._saved = 0.0
        self._seen = 0
        self._slow = float("inf")

    async def call(self, first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[T]]) -> T:
        """What either answers. Raises what the first raised, if both fail.

        Neither is cancelled (shiwu/chassis/abandoning.py says why), so both need a time limit of their own.
        """
        start = time.perf_counter()
        self._saved = min(_BURST, self._saved + self._share)
        attempt = asyncio.ensure_future(first())
        attempts: list[asyncio.Future[T]] = [attempt]
        try:
            done, _ = await asyncio.wait(attempts, timeout=self._patience())
            if not done and self._saved >= 1.0:
                self._saved -= 1.0
                attempts.append(asyncio.ensure_future(second()))
            result = await _first_good(attempts)
        finally:
            for each in attempts:  # the slower one, or both if the caller has given up
                abandon(each)
        self.latency.note(time.perf_counter() - start)
        return result

    def _patience(self) -> float | None:
        """Seconds after which a call is slow; None: never."""
        if self._seen % _LEAST == 0:  # sorting for every call would cost as much as sending it
            self._slow = self.latency.quantile(self._quantile) or float("inf")
        self._seen += 1
        return None if self._slow == float("inf") or self._saved < 1.0 else self._slow


async def _first_good(attempts: list[asyncio.Future[T]]) -> T:
    left = set(attempts)
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            if each.exception() is None:
                return each.result()
    return attempts[0].result()

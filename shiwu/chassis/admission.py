"""How many requests are served at once, found from how long they take: the rest wait briefly or are refused.

A server that takes in all that comes gets slower with every request beyond its capacity, until all of them are too
late. Here the number in service is held where throughput has reached its peak and latency has only begun to grow. It
follows the gradient of latency, as Netflix's concurrency-limits and Envoy's adaptive concurrency filter do:

    limit <- limit * clamp(tolerance * unloaded / latency, 0.7, 1) + headroom

`unloaded` is what a request takes on a server that has room. It is learnt when at most a third of the limit is in use;
under lasting load the limit is a third for one measurement now and then, as Envoy does, to learn it again. With a
capacity of B requests at once (throughput times unloaded latency) the limit settles at about tolerance * B + headroom.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from shiwu.chassis.errors import OverloadedError

_WINDOW: Final = 10  # requests whose mean latency is one measurement; as many as the limit, if that is more
_FOLLOW: Final = 0.3  # how much one measurement moves the unloaded latency
_ROOM: Final = 3.0  # a server has room when its limit's share in use is the inverse of this; more than any tolerance
_PROBE_EVERY: Final = 40  # measurements on a server that was full and never had room
_CALM: Final = 1.0  # seconds without a wait


class AdmissionSettings(BaseModel):
    """How requests are let in. A field of the settings of a service that is loaded from outside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    initial: int = Field(8, ge=1)
    """Requests served at once before anything was measured."""
    minimum: int = Field(2, ge=1)
    """With fewer, the stages of a pipeline would wait for each other. The limit is lower only for a measurement."""
    maximum: int = Field(256, ge=1)
    """Equal to `minimum`: a fixed number."""
    tolerance: float = Field(1.5, ge=1.0, lt=_ROOM)
    """How many times its unloaded latency a request may take before the limit falls."""
    headroom: float = Field(0.5, gt=0.0)
    """How fast the limit grows where there is room for more, requests per measurement."""
    wait: float = Field(0.5, ge=0.0)
    """How long a request may wait for its turn, as a share of the unloaded latency; those beyond are refused."""
    burst: int = Field(32, ge=0)
    """So many requests may wait `burst_seconds` instead, again after a second in which none had to wait."""
    burst_seconds: float = Field(0.25, ge=0.0)


class ConcurrencyLimit:
    """The limit, as a function of the latencies seen. Knows no clock and no tasks."""

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._limit = float(settings.initial)
        self._window: list[float] = []
        self._peak = 0
        self._busy = 0
        self.unloaded: float | None = None
        """Seconds that a request takes where there is room; None: not known yet."""

    @property
    def value(self) -> int:
        """Requests that may be in service."""
        return max(1, int(self._limit / _ROOM if self._probing else self._limit))

    def note(self, seconds: float, in_flight: int) -> None:
        """Takes in one served request.

        in_flight: requests in service when it began, itself among them.
        """
        if self._probing and in_flight > self.value:
            return  # began before the limit was lowered
        self._window.append(seconds)
        self._peak = max(self._peak, in_flight)
        if len(self._window) >= max(_WINDOW, self._limit):
            self._measured(sum(self._window) / len(self._window))
            self._window.clear()
            self._peak = 0

    @property
    def _probing(self) -> bool:
        return self._busy >= _PROBE_EVERY

    def _measured(self, latency: float) -> None:
        quiet = self._peak <= max(1.0, self._limit / _ROOM)
        full = self._peak >= self.value
        if self.unloaded is None or self._probing:
            self.unloaded = latency
        elif quiet or latency < self.unloaded:
            self.unloaded += _FOLLOW * (latency - self.unloaded)
        if self._probing:
            self._busy = 0
            return
        gradient = min(1.0, max(0.7, self._settings.tolerance * self.unloaded / latency))
        # A server that was never full does not show what more would do to it: the limit may fall, but not grow.
        wanted = self._limit * gradient + (self._settings.headroom if full else 0.0)
        self._limit = min(float(self._settings.maximum), max(float(self._settings.minimum), wanted))
        self._busy = 0 if quiet else self._busy + full


class Slot:
    """A place in service."""

    typical = True
    """False: how long this one took says nothing about load, since it waited for a peer that is gone, say."""


class Admission:
    """Lets requests in, first come first served, as many at once as the limit says."""

    def __init__(self, settings: AdmissionSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = ConcurrencyLimit(settings)
        self._settings = settings
        self._bursting = settings.burst
        self._full_at = -_CALM
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.in_flight = 0
        self.refused = 0
        """Requests refused since the start."""

    @property
    def limit(self) -> int:
        """Requests that may be in service now."""
        return self._limit.value

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """A place in service for the block. Only a block that ends well, and says nothing else, is a measurement.

        Raises OverloadedError if there is none soon enough.
        """
        await self._enter()
        begun, in_flight = self._clock(), self.in_flight
        slot = Slot()
        try:
            yield slot
            if slot.typical:
                self._limit.note(self._clock() - begun, in_flight)
        finally:
            self.in_flight -= 1
            self._admit_next()

    async def _enter(self) -> None:
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
            return
        patience = self._patience()
        if patience <= 0.0:
            self._refuse()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # its turn came just as it gave up
                self.in_flight -= 1
                self._admit_next()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                self._refuse()
            raise

    def _patience(self) -> float:
        """Seconds for which one more may wait. What comes beyond the server's pace all the time must not make a queue
        that stays; what comes at once now and then may, for a moment."""
        before, self._full_at = self._full_at, self._clock()
        if self._full_at - before >= _CALM:
            self._bursting = self._settings.burst
        if self._bursting:
            self._bursting -= 1
            return self._settings.burst_seconds
        return self._settings.wait * (self._limit.unloaded or 0.0)

    def _admit_next(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    def _refuse(self) -> None:
        self.refused += 1
        msg = (
            f"{self.in_flight} requests are being served and {self.waiting} wait; more would only make all of them late"
        )
        raise OverloadedError(msg, retry_after=1.0)

"""One shard under watch: a lost one is left out of searches at once, and used again once it answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from services.search.shards import Shard
from services.search.store import VectorStore
from shiwu.chassis.deadlines import budget
from shiwu.chassis.errors import DeadlineError, ServiceError, UnavailableError

_T = TypeVar("_T")
_LOST_SECONDS = 1.0  # between looks at a lost shard
_log = structlog.get_logger(__name__)


class Latency:
    """How long the latest calls took."""

    def __init__(self, calls: int = 256) -> None:
        self._seconds: deque[float] = deque(maxlen=calls)

    def note(self, seconds: float) -> None:
        """One more call."""
        self._seconds.append(seconds)

    def quantile(self, share: float) -> float | None:
        """Seconds that this share of the calls took at most; None before the first one."""
        if not self._seconds:
            return None
        return sorted(self._seconds)[min(len(self._seconds) - 1, int(share * len(self._seconds)))]


class WatchedShard:
    """A shard, its store, and whether the store answers."""

    def __init__(self, shard: Shard, store: VectorStore, *, probe_timeout: float, probe_seconds: float) -> None:
        """probe_timeout: how long the store may take to answer a probe, seconds. probe_seconds: between probes."""
        self.shard = shard
        self.store = store
        self.latency = Latency()
        """Of searches that it answered."""
        self.lost: UnavailableError | None = None
        self.tried = False
        """Whether the store has answered, or failed to, since the start."""
        self._probe_timeout = probe_timeout
        self._probe_seconds = probe_seconds

    async def watch(self) -> None:
        """Probes the store for ever."""
        while True:
            await self.probe()
            await asyncio.sleep(self._probe_seconds if self.lost is None else _LOST_SECONDS)

    async def probe(self) -> None:
        """Asks the store for a real search, and notes whether it answers."""
        try:
            async with asyncio.timeout(self._probe_timeout):
                await self.store.probe()
        except TimeoutError:
            self.lose(UnavailableError(f"shard {self.shard.name} does not answer within {self._probe_timeout:g} s"))
        except ServiceError as error:
            self.lose(error)
        else:
            if self.lost is not None:
                _log.info("shard found again", shard=self.shard.name)
            self.lost = None
        self.tried = True

    def lose(self, why: ServiceError) -> None:
        """Leaves the shard out of searches until a probe succeeds."""
        if self.lost is None:
            _log.warning("shard lost", shard=self.shard.name, reason=str(why))
        self.lost = why if isinstance(why, UnavailableError) else UnavailableError(str(why))

    async def within(self, seconds: float, do: Callable[[], Awaitable[_T]]) -> _T:
        """The result of `do`, a call to the store, in so many seconds or what the caller's deadline leaves.

        Raises UnavailableError when the store was too slow, DeadlineError when the caller was too impatient.
        """
        allowed = budget(seconds)
        try:
            async with asyncio.timeout(allowed):
                return await do()
        except TimeoutError as error:
            if allowed < seconds:
                msg = f"shard {self.shard.name} did not answer before the caller's deadline"
                raise DeadlineError(msg) from error
            msg = f"shard {self.shard.name} did not answer within {seconds:g} s"
            raise UnavailableError(msg) from error

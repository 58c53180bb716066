from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from services.search.hedging import Hedge
from shiwu.chassis.errors import UnavailableError


class Place:
    """Answers after so many seconds, or fails."""

    def __init__(self, seconds: float = 0.0, fails: bool = False) -> None:
        self.seconds = seconds
        self.fails = fails
        self.calls: Counter[str] = Counter()

    async def __call__(self) -> Place:
        self.calls["begun"] += 1
        await asyncio.sleep(self.seconds)
        if self.fails:
            msg = "down"
            raise UnavailableError(msg)
        self.calls["ended"] += 1
        return self


async def warm(hedge: Hedge, calls: int = 150) -> None:
    fast = Place()
    for _ in range(calls):
        await hedge.call(fast, fast)


async def test_a_slow_call_is_asked_elsewhere_and_the_first_answer_counts() -> None:
    hedge, slow, other = Hedge(0.05), Place(1.0), Place()
    await warm(hedge)
    assert await asyncio.wait_for(hedge.call(slow, other), 0.5) is other
    await come_to_their_end(slow)


async def come_to_their_end(*places: Place) -> None:
    """Cancelled calls would cost memory (shiwu/chassis/abandoning.py)."""
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110  # what is waited for is nothing of this test's
            await asyncio.sleep(0.01)
    assert [place.calls for place in places] == [{"begun": 1, "ended": 1}] * len(places)


async def test_a_fast_call_is_asked_once() -> None:
    hedge, other = Hedge(1.0), Place()
    await warm(hedge)
    calls = [await hedge.call(Place(), other) for _ in range(200)]
    assert len(calls) == 200
    assert other.calls["begun"] < 60, "about one in twenty, and what the machine delays"


async def test_second_attempts_are_a_small_share_when_everything_is_slow() -> None:
    hedge, other = Hedge(0.05), Place(0.02)
    await warm(hedge)
    await asyncio.gather(*(hedge.call(Place(0.02), other) for _ in range(200)))
    assert other.calls["begun"] <= 0.05 * 200 + 5


async def test_none_before_enough_was_seen_and_none_when_off() -> None:
    other = Place()
    await Hedge(1.0).call(Place(0.05), other)
    off = Hedge(0.0)
    await warm(off)
    await off.call(Place(0.05), other)
    assert other.calls["begun"] == 0


async def test_an_attempt_that_fails_does_not_hide_one_that_succeeds() -> None:
    hedge, good = Hedge(1.0), Place(0.1)
    await warm(hedge)
    assert await hedge.call(good, Place(fails=True)) is good
    assert await hedge.call(Place(0.05, fails=True), good) is good
    with pytest.raises(UnavailableError, match="down"):
        await hedge.call(Place(0.05, fails=True), Place(fails=True))


async def test_a_caller_that_gives_up_waits_for_neither() -> None:
    hedge, slow, other = Hedge(1.0), Place(0.5), Place(0.5)
    await warm(hedge)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(hedge.call(slow, other), 0.1)
    await come_to_their_end(slow, other)

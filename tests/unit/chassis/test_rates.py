"""Token buckets, against an obvious slow count."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiwu.chassis import rates
from shiwu.chassis.errors import OverloadedError
from shiwu.chassis.rates import Allowance, Rates


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    waits=st.lists(st.floats(0, 3), max_size=60),
    rate=st.floats(0.1, 20),
    burst=st.integers(1, 10),
)
def test_no_window_of_time_holds_more_calls_than_allowed(waits: list[float], rate: float, burst: int) -> None:
    clock = Clock()
    limits, allowance = Rates(clock), Allowance(rate, burst, 1)
    served: list[float] = []
    for wait in waits:
        clock.now += wait
        try:
            with limits.serving("me", allowance):
                served.append(clock.now)
        except OverloadedError as error:
            clock.now += (error.retry_after or 0.0) + 1e-6
            with limits.serving("me", allowance):  # as was said
                served.append(clock.now)
    for first in range(len(served)):
        for last in range(first, len(served)):
            assert last - first + 1 <= burst + (served[last] - served[first]) * rate + 1e-3


def test_callers_have_buckets_of_their_own_and_calls_under_way_are_counted() -> None:
    limits, allowance = Rates(Clock()), Allowance(100.0, 100, 2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(limits.serving("a", allowance))
        with pytest.raises(OverloadedError, match="2 calls of this caller are already being served"):
            stack.enter_context(limits.serving("a", allowance))
        stack.enter_context(limits.serving("b", allowance))
    with pytest.raises(KeyError), limits.serving("a", allowance):
        raise KeyError
    with limits.serving("a", allowance), limits.serving("a", allowance):
        pass


def test_strangers_without_number_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST_CALLERS", 10)
    limits, allowance = Rates(Clock()), Allowance(1.0, 1, 1)
    with limits.serving("busy", allowance):
        for number in range(1000):
            with limits.serving(str(number), allowance):
                pass
        assert len(limits._accounts) <= 11
        with pytest.raises(OverloadedError):  # one that is being served is not forgotten
            limits.serving("busy", allowance).__enter__()

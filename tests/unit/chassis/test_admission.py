"""The law of the limit on a simulated server, and the queue before it in real time."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass

import pytest

from shiwu.chassis.admission import Admission, AdmissionSettings, ConcurrencyLimit
from shiwu.chassis.errors import OverloadedError


@dataclass
class Job:
    work: float
    begun: float
    in_flight: int
    came: float


class Server:
    """Shares `cores` among what it serves, as processors do; requests come at random and are let in by a limit.

    Time is simulated. Service times are lognormal around `seconds`, as those of scans are.
    """

    def __init__(self, cores: int, seconds: float, limit: ConcurrencyLimit) -> None:
        self.cores, self.seconds, self.limit = cores, seconds, limit
        self.random = random.Random(0)
        self.now = 0.0

    def run(self, rate: float, duration: float) -> tuple[float, float]:
        """Served per second, and their latency at p99, in the last half of the time; waiting counts."""
        end, next_one = self.now + duration, self.now + self.random.expovariate(rate)
        half = self.now + duration / 2
        jobs: list[Job] = []
        waiting: deque[float] = deque()
        latencies = []
        while self.now < end:
            speed = min(1.0, self.cores / len(jobs)) if jobs else 1.0
            soonest = min((job.work for job in jobs), default=float("inf")) / speed
            step = min(next_one - self.now, soonest)
            self.now += step
            for job in jobs:
                job.work -= step * speed
            for job in [job for job in jobs if job.work <= 1e-9]:
                jobs.remove(job)
                self.limit.note(self.now - job.begun, job.in_flight)
                if self.now > half:
                    latencies.append(self.now - job.came)
            if self.now >= next_one:
                waiting.append(next_one)
                next_one += self.random.expovariate(rate)
            while waiting and len(jobs) < self.limit.value:
                work = self.seconds * self.random.lognormvariate(0.0, 0.25)
                jobs.append(Job(work, self.now, len(jobs) + 1, waiting.popleft()))
            patience = 0.5 * (self.limit.unloaded or 0.0)
            waiting = deque(came for came in waiting if self.now - came < patience)
        latencies.sort()
        return len(latencies) / (duration / 2), latencies[int(0.99 * len(latencies))]


@pytest.mark.parametrize(("cores", "seconds"), [(1, 0.05), (2, 0.05), (16, 0.05), (64, 0.1)])
def test_three_times_what_it_can_do_leaves_it_nearly_all_it_can_do(cores: int, seconds: float) -> None:
    server = Server(cores, seconds, ConcurrencyLimit(AdmissionSettings()))
    capacity = cores / seconds
    _, unloaded = server.run(0.2 * capacity, 60.0)
    served, latency = server.run(3.0 * capacity, 60.0)
    assert served >= 0.9 * capacity
    assert latency <= 2.0 * unloaded
    again, after = server.run(0.2 * capacity, 20.0)
    assert again >= 0.16 * capacity
    assert after <= 1.3 * unloaded


@pytest.mark.parametrize("cores", [1, 16])
def test_a_server_that_starts_in_a_storm_learns_what_unloaded_means(cores: int) -> None:
    limit = ConcurrencyLimit(AdmissionSettings(initial=8 * cores, minimum=1))
    server = Server(cores, 0.05, limit)
    served, latency = server.run(5.0 * cores / 0.05, 200.0)
    assert served >= 0.9 * cores / 0.05
    assert latency <= 0.05 * 7  # as it began, eight at once, it would be 0.6
    assert limit.unloaded == pytest.approx(0.05, rel=0.5)


def test_a_server_that_gets_slower_for_good_is_given_as_many_again() -> None:
    limit = ConcurrencyLimit(AdmissionSettings())
    server = Server(8, 0.05, limit)
    server.run(500.0, 30.0)
    server.seconds = 0.2
    served, _ = server.run(500.0, 120.0)
    assert served >= 0.9 * 8 / 0.2


def test_the_limit_keeps_to_its_bounds() -> None:
    limit = ConcurrencyLimit(AdmissionSettings(initial=3, minimum=2, maximum=4))
    for _ in range(200):
        limit.note(0.01, limit.value)
    assert limit.value == 4
    for _ in range(400):
        limit.note(9.0, 4)
    values = set()
    for _ in range(800):
        limit.note(9.0 * limit.value**2, limit.value)
        values.add(limit.value)
    assert values == {1, 2}  # 1 for a measurement now and then


def test_a_server_that_is_never_full_is_not_given_more() -> None:
    limit = ConcurrencyLimit(AdmissionSettings(initial=4))
    for _ in range(500):
        limit.note(0.01, 1)
    assert limit.value == 4


class Held:
    """Requests that stay in service until they are let go."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.free = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def serve(self) -> None:
        async with self.admission.slot():
            await self.free.wait()

    async def begin(self, number: int) -> list[asyncio.Task[None]]:
        begun = [asyncio.create_task(self.serve()) for _ in range(number)]
        self.tasks += begun
        await asyncio.sleep(0.01)
        return begun


async def measured(settings: AdmissionSettings, seconds: float = 0.05) -> Admission:
    """An admission that knows how long a request takes."""
    admission = Admission(settings)
    for _ in range(10):
        async with admission.slot():
            await asyncio.sleep(seconds)
    return admission


async def test_beyond_the_limit_requests_are_refused_at_once_while_nothing_is_known() -> None:
    held = Held(Admission(AdmissionSettings(initial=2, burst=0)))
    await held.begin(2)
    with pytest.raises(OverloadedError, match="2 requests are being served") as refused:
        await held.serve()
    assert refused.value.retry_after == 1.0
    assert (held.admission.in_flight, held.admission.waiting, held.admission.refused) == (2, 0, 1)
    held.free.set()
    await asyncio.gather(*held.tasks)
    async with held.admission.slot():
        assert held.admission.in_flight == 1


async def test_who_waits_comes_next_and_in_turn() -> None:
    admission = await measured(AdmissionSettings(initial=1, minimum=1, maximum=1, wait=100.0, burst=0))
    order = []

    async def serve(name: str) -> None:
        async with admission.slot():
            order.append(name)
            await asyncio.sleep(0.01)

    first = asyncio.create_task(serve("a"))
    await asyncio.sleep(0)
    second = asyncio.create_task(serve("b"))
    await asyncio.sleep(0)
    third = asyncio.create_task(serve("c"))
    await asyncio.gather(first, second, third)
    assert order == ["a", "b", "c"]
    assert (admission.in_flight, admission.waiting) == (0, 0)


async def test_nobody_waits_longer_than_it_is_worth() -> None:
    admission = await measured(AdmissionSettings(initial=1, minimum=1, maximum=1, wait=0.5, burst=0))
    held = Held(admission)
    await held.begin(1)
    start = asyncio.get_running_loop().time()
    with pytest.raises(OverloadedError):
        await held.serve()
    assert 0.02 <= asyncio.get_running_loop().time() - start <= 0.2
    assert (admission.in_flight, admission.waiting) == (1, 0)
    held.free.set()
    await asyncio.gather(*held.tasks)


async def test_a_burst_may_wait_longer_but_only_after_a_second_in_which_none_had_to_wait() -> None:
    now = 100.0
    settings = AdmissionSettings(initial=1, minimum=1, maximum=1, wait=0.0, burst=2, burst_seconds=5.0)
    admission = Admission(settings, clock=lambda: now)

    async def burst(waiting: int) -> None:
        held = Held(admission)
        await held.begin(1 + waiting)
        assert (admission.in_flight, admission.waiting) == (1, waiting)
        with pytest.raises(OverloadedError, match=f"{waiting} wait"):
            await held.serve()
        held.free.set()
        await asyncio.gather(*held.tasks)

    await burst(2)
    now += 0.9
    await burst(0)
    now += 1.1
    await burst(2)


async def test_who_is_cancelled_leaves_no_place_taken() -> None:
    admission = await measured(AdmissionSettings(initial=1, minimum=1, maximum=1, wait=100.0, burst=0))
    held = Held(admission)
    (serving,) = await held.begin(1)
    (waiting,) = await held.begin(1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (admission.in_flight, admission.waiting) == (1, 0)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert admission.in_flight == 0


async def test_a_turn_that_comes_as_its_request_is_cancelled_goes_to_the_next() -> None:
    admission = await measured(AdmissionSettings(initial=2, minimum=2, maximum=2, wait=100.0, burst=0))
    held = Held(admission)
    first, second = await held.begin(2)
    third, fourth = await held.begin(2)
    first.cancel()
    second.cancel()
    third.cancel()
    fourth.cancel()
    await asyncio.gather(*held.tasks, return_exceptions=True)
    assert (admission.in_flight, admission.waiting) == (0, 0)


async def test_what_says_nothing_about_load_is_no_measurement() -> None:
    admission = await measured(AdmissionSettings(initial=4), seconds=0.001)
    for _ in range(40):
        async with admission.slot() as slot:
            slot.typical = False
            await asyncio.sleep(0.01)
    assert admission.limit == 4


async def test_failures_are_no_measurement() -> None:
    admission = Admission(AdmissionSettings(initial=4, burst=0))

    async def fail() -> None:
        async with admission.slot():
            msg = "bad photo"
            raise ValueError(msg)

    for _ in range(100):
        with pytest.raises(ValueError, match="bad photo"):
            await fail()
    assert (admission.in_flight, admission.limit) == (0, 4)
    held = Held(admission)
    await held.begin(4)
    with pytest.raises(OverloadedError):  # at once: no latency is known that could tell how long to wait
        await held.serve()
    held.free.set()
    await asyncio.gather(*held.tasks)

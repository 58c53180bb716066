"""A load generator in a process of its own, so that what it measures is not what it takes itself.

Closed: so many clients, each with one scan under way; one that was refused waits as long as it is asked to.
Open: scans begin at a rate, whatever became of the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing import get_context
from typing import NamedTuple

import grpc
import uvloop

from shiwu.chassis.channel import connect
from shiwu.chassis.settings import ClientSettings
from shiwu.v1 import gateway_pb2
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image

_RETRY_SECONDS = 1.0  # what the gateway's refusals ask for


class Sample(NamedTuple):
    """One scan."""

    begun: float
    """Seconds since the load began."""
    seconds: float
    code: str
    """Of gRPC: "OK"."""
    whole: bool
    """Answered, with nothing missing."""


@dataclass
class Load:
    """What became of the scans of one phase."""

    seconds: float
    """How long scans were begun."""
    start: float = 0.0
    """On the generator's clock."""
    cpu_seconds: float = 0.0
    """Of the generator itself."""
    samples: list[Sample] = field(default_factory=list)

    @property
    def cores(self) -> float:
        """That the generator took, as a share of one."""
        return self.cpu_seconds / self.seconds

    def share(self, code: str) -> float:
        """Of the scans that ended so."""
        return sum(sample.code == code for sample in self.samples) / max(1, len(self.samples))

    def goodput(self) -> float:
        """Whole answers a second, of those that came before the end."""
        return sum(each.whole and each.begun + each.seconds <= self.seconds for each in self.samples) / self.seconds

    def latencies(self) -> list[float]:
        """Seconds of the scans that were answered: those that were let in."""
        return [sample.seconds for sample in self.samples if sample.code == "OK"]


class Generator:
    """Scans photos in turn. Use as a context manager."""

    def __init__(self, target: str, photos: Sequence[bytes], *, deadline: float = 5.0) -> None:
        """target: the gateway's. deadline: of a scan, seconds."""
        self._arguments = (target, tuple(photos), deadline)
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()

    def closed(self, clients: int, seconds: float) -> Load:
        """Load by so many clients."""
        return self._process.submit(_run, _closed, *self._arguments, [(clients, seconds)]).result()[0]

    def opened(self, steps: Sequence[tuple[float, float]]) -> list[Load]:
        """Load at so many scans a second for so many seconds; one step follows at once upon the other."""
        return self._process.submit(_run, _opened, *self._arguments, steps).result()


_Steps = Sequence[tuple[float, float]]
_Scan = Callable[[Load], Coroutine[None, None, str]]
_Model = Callable[[_Scan, Load, float], Coroutine[None, None, None]]


def _run(model: _Model, target: str, photos: Sequence[bytes], deadline: float, steps: _Steps) -> list[Load]:
    return uvloop.run(_loaded(model, target, photos, deadline, steps))


async def _loaded(model: _Model, target: str, photos: Sequence[bytes], deadline: float, steps: _Steps) -> list[Load]:
    requests = cycle([gateway_pb2.ScanRequest(image=Image(encoded=photo)) for photo in photos])
    loads: list[Load] = []
    async with connect(ClientSettings(target=target)) as channel, asyncio.TaskGroup() as under_way:
        stub = GatewayServiceStub(channel)
        await channel.channel_ready()

        async def scan(load: Load) -> str:
            begun = time.perf_counter()
            code, whole = "OK", False
            try:
                answer = await stub.Scan(next(requests), timeout=deadline)
                whole = not answer.missing
            except grpc.aio.AioRpcError as error:
                code = error.code().name
            load.samples.append(Sample(begun - load.start, time.perf_counter() - begun, code, whole))
            return code

        for size, seconds in steps:
            loads.append(load := Load(seconds, time.perf_counter()))
            before = time.process_time()
            under_way.create_task(model(scan, load, size))
            await asyncio.sleep(seconds)
            load.cpu_seconds = time.process_time() - before
    for load in loads:
        load.samples.sort()
    return loads


async def _closed(scan: _Scan, load: Load, clients: float) -> None:
    async def client() -> None:
        while time.perf_counter() < load.start + load.seconds:
            if await scan(load) == "RESOURCE_EXHAUSTED":
                await asyncio.sleep(_RETRY_SECONDS)

    await asyncio.gather(*(client() for _ in range(int(clients))))


async def _opened(scan: _Scan, load: Load, rate: float) -> None:
    async with asyncio.TaskGroup() as scans:
        for number in range(round(rate * load.seconds)):
            await asyncio.sleep(load.start + number / rate - time.perf_counter())
            scans.create_task(scan(load))

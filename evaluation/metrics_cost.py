"""What the metrics of one scan cost, over all six services, in microseconds of processor time.

python -m evaluation.metrics_cost

Each line is one kind of recording: how often a scan that looks at one part of the photo does it, and what once costs,
the best of several runs. What a scan takes altogether, `make bench` prints.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from prometheus_client import REGISTRY
from prometheus_client.exposition import generate_latest

from services.gateway.answer import Answer
from services.gateway.candidates import StyleHit
from services.gateway.cropping import Choice
from services.gateway.metrics import observe_answer, observe_stages
from services.gateway.ports import Box
from services.gateway.progress import Progress, Stage
from services.search.index import ShardAnswer
from services.search.metrics import observe_answers
from services.search.shards import DEFAULT_MAP, read_shard_map
from shiwu.chassis.calls import Call, current_call
from shiwu.chassis.metrics import MethodMetrics, timed_store
from shiwu.inference.metrics import MeteredRunner, note_wait
from shiwu.inference.runner import ModelRunner, Tensors

_TIMES: Final = 2000
_RUNS: Final = 15
_CALLS: Final = ("Scan", "Detect", "Embed", "Search", "Vote", "Describe")
_STAGES: Final = ("decode", "detect", "embed", "search", "vote", "rerank", "verify", "describe")


class _Idle:
    """A model that takes no time."""

    async def run(self, inputs: Tensors) -> Tensors:
        note_wait(0.001)
        return inputs

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        return


def main() -> None:
    """Prints the table."""
    current_call.set(Call("/a/b", "an-id", "4bf92f3577b34da6a3ce929d0e0e4736", None))
    shards = [shard.name for shard in read_shard_map(DEFAULT_MAP).shards]
    method = MethodMetrics("unary", "/cost.Service/Method")
    progress = Progress(10.0)
    progress.stages = [Stage(name, 0.0, 0.004) for name in _STAGES]
    answer = Answer[object](
        Choice((), Box(0, 0, 1, 1), "detected"),
        [],
        "d@1",
        outcome="matched",
        confidence=0.9,
        styles=[StyleHit("s", [])],
    )
    found = [ShardAnswer(name, (), None, 0.004) for name in shards]

    def call() -> None:
        method.started()
        method.handled("OK", 0.004)

    def store() -> None:
        with timed_store("search"):
            pass

    lines = [
        ("a call: rate, errors, duration, under way", len(_CALLS), _microseconds(call)),
        (f"the {len(_STAGES)} stages of a scan", 1, _microseconds(lambda: observe_stages(progress))),
        ("the answer", 1, _microseconds(lambda: observe_answer(answer))),
        (f"a search of {len(shards)} shards", 1, _microseconds(lambda: observe_answers(found))),
        ("a store operation", len(shards) + 1, _microseconds(store)),
        ("a model run", 2, _model_run(MeteredRunner(_Idle(), "cost@1")) - _model_run(_Idle())),
    ]
    print(f"{'':44}{'a scan':>8}{'once, us':>10}{'all, us':>10}")
    for name, times, once in lines:
        print(f"{name:44}{times:>8}{once:>10.2f}{times * once:>10.1f}")
    print(f"{'together':62}{sum(times * once for _, times, once in lines):>10.1f}")
    print(f"a scrape of this process: {_microseconds(lambda: generate_latest(REGISTRY), 20) / 1000:.1f} ms")


def _microseconds(record: Callable[[], object], times: int = _TIMES) -> float:
    best = float("inf")
    for _ in range(_RUNS):
        start = time.perf_counter()
        for _ in range(times):
            record()
        best = min(best, time.perf_counter() - start)
    return best / times * 1e6


def _model_run(runner: ModelRunner) -> float:
    inputs = {"image": np.zeros((1, 8, 8, 3), np.uint8)}

    async def runs() -> float:
        best = float("inf")
        for _ in range(_RUNS):
            start = time.perf_counter()
            for _ in range(_TIMES):
                await runner.run(inputs)
            best = min(best, time.perf_counter() - start)
        return best / _TIMES * 1e6

    return asyncio.run(runs())


if __name__ == "__main__":
    main()

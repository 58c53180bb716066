"""Model runs are measured around the port, whatever adapter is behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from shiwu.chassis.errors import OverloadedError
from shiwu.inference.metrics import MeteredRunner, note_wait
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from shiwu.inference.runner import ModelError, Tensors
from tests.unit.inference import onnx_models


class Scripted:
    """A runner that does what it is told."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        self._outcomes = iter(outcomes)
        self.closed = False

    async def run(self, inputs: Tensors) -> Tensors:
        if error := next(self._outcomes):
            raise error
        return inputs

    async def ready(self) -> bool:
        return not self.closed

    async def close(self) -> None:
        self.closed = True


def value(name: str, model: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"shiwu_model_{name}", {"model": model, **labels})


async def test_runs_are_counted_by_outcome() -> None:
    scripted = Scripted(
        None, ModelError("NaN"), OverloadedError("full"), OverloadedError("full"), asyncio.CancelledError()
    )
    runner = MeteredRunner(scripted, "scripted@1")
    assert [value("run_seconds_count", "scripted@1", outcome=each) for each in ("ok", "rejected")] == [0, 0]
    batch = {"image": np.zeros((5, 2), np.uint8)}
    assert await runner.run(batch) == batch
    for error in (ModelError, OverloadedError, OverloadedError, asyncio.CancelledError):
        with pytest.raises(error):
            await runner.run(batch)
    counts = {
        each: value("run_seconds_count", "scripted@1", outcome=each)
        for each in ("ok", "error", "rejected", "cancelled")
    }
    assert counts == {"ok": 1, "error": 1, "rejected": 2, "cancelled": 1}
    assert value("batch_size_sum", "scripted@1") == 25
    assert value("runs_in_flight", "scripted@1") == 0
    assert value("info", "scripted@1") == 1
    assert await runner.ready()
    await runner.close()
    assert not await runner.ready()


async def test_how_long_runs_wait_for_their_turn_is_told_by_the_adapter(tmp_path: Path) -> None:
    path = onnx_models.slow(tmp_path / "slow" / "model.onnx")
    runner = MeteredRunner(open_model(path.parent / path.name, RunnerOptions(concurrency=1)), "slow@1")
    x = {"x": np.ones((400, 400), np.float32)}
    await runner.run(x)
    alone = value("wait_seconds_sum", "slow@1")
    await asyncio.gather(*(runner.run(x) for _ in range(3)))
    ran = value("run_seconds_sum", "slow@1", outcome="ok")
    waited = value("wait_seconds_sum", "slow@1")
    assert value("wait_seconds_count", "slow@1") == 4
    assert alone is not None
    assert waited is not None
    assert ran is not None
    assert alone < ran / 10, "nothing was before it"
    assert waited > ran / 4, "the third waited for two others, the second for one"
    await runner.close()


def test_a_wait_outside_of_a_measured_run_is_nobodys() -> None:
    note_wait(1.0)

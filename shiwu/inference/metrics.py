"""What models cost: runs, batches, waiting and refusals of any adapter, measured around the `ModelRunner` port."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

import numpy as np
from prometheus_client import Gauge, Histogram

from shiwu.chassis.errors import OverloadedError
from shiwu.chassis.metrics import BUCKETS, exemplar
from shiwu.inference.runner import ModelRunner, Tensors

_OUTCOMES: Final = ("ok", "error", "rejected", "cancelled")
_MODEL = ("model",)

_INFO = Gauge("shiwu_model_info", "1; a model that this process runs, as name@version.", _MODEL)
_RUNS = Histogram(
    "shiwu_model_run_seconds", "Duration of model runs, waiting included.", ("model", "outcome"), buckets=BUCKETS
)
_WAITED = Histogram("shiwu_model_wait_seconds", "How long runs waited for their turn.", _MODEL, buckets=BUCKETS)
_BATCH = Histogram("shiwu_model_batch_size", "Pictures in a run.", _MODEL, buckets=(1, 2, 4, 8, 16, 32, 64))
_IN_FLIGHT = Gauge("shiwu_model_runs_in_flight", "Runs under way or waiting.", _MODEL)

_waits: ContextVar[Histogram | None] = ContextVar("waits", default=None)


def note_wait(seconds: float) -> None:
    """An adapter that queues runs in this process says how long the present one waited."""
    waits = _waits.get()
    if waits is not None:
        waits.observe(seconds)


class MeteredRunner:
    """A `ModelRunner` that measures another one."""

    def __init__(self, runner: ModelRunner, model: str) -> None:
        """model: name@version."""
        self._runner = runner
        _INFO.labels(model).set(1)
        self._runs: Mapping[str, Histogram] = {outcome: _RUNS.labels(model, outcome) for outcome in _OUTCOMES}
        self._waits = _WAITED.labels(model)
        self._batch = _BATCH.labels(model)
        self._in_flight = _IN_FLIGHT.labels(model)

    async def run(self, inputs: Tensors) -> Tensors:
        self._batch.observe(max((np.shape(array)[0] for array in inputs.values() if np.ndim(array)), default=0))
        self._in_flight.inc()
        token = _waits.set(self._waits)
        start = time.perf_counter()
        outcome = "cancelled"
        try:
            outputs = await self._runner.run(inputs)
            outcome = "ok"
        except OverloadedError:
            outcome = "rejected"
            raise
        except Exception:
            outcome = "error"
            raise
        finally:
            self._runs[outcome].observe(time.perf_counter() - start, exemplar())
            _waits.reset(token)
            self._in_flight.dec()
        return outputs

    async def ready(self) -> bool:
        return await self._runner.ready()

    async def close(self) -> None:
        await self._runner.close()

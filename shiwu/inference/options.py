"""How a model runs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt


class RunnerOptions(BaseModel):
    """Threads and queue of one model in process. A field of every settings class that has a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: PositiveInt = 1
    """Threads that work on one run."""
    concurrency: PositiveInt = 2
    """Runs at the same time."""
    max_waiting: NonNegativeInt = 64
    """Runs that may wait; more are refused."""
    spin: bool = False
    """Idle threads of a run wait busily: faster with a core for each, slower when cores are shared."""

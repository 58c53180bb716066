"""How a model runs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt


class RunnerOptions(BaseModel):
    """Threads and queue of one model in process. A field of every settings class that has a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: PositiveInt = 2
    """Threads that work on one run."""
    concurrency: PositiveInt = 2
    """Runs at the same time."""
    max_waiting: NonNegativeInt = 64
    """Runs that may wait; more are refused."""
    spin: bool = False
    """Threads wait busily for their next piece of work. Where processes share cores, as services on one machine do,
    that takes the cores from the others: several times slower."""

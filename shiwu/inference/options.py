"""How a model runs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt


class RunnerOptions(BaseModel):
    """Where one model runs, its threads and its queue. A field of every settings class that has a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = Field(None, pattern=r"^triton://[^\s/]+:\d{1,5}$")
    """A Triton server, as "triton://host:8001", which has the model under its manifest's name and version; unset: the
    model runs in this process."""
    limit: PositiveFloat = 10.0
    """Longest run at an endpoint, seconds; a caller's nearer deadline comes first."""
    threads: PositiveInt = 2
    """Threads that work on one run in this process."""
    concurrency: PositiveInt = 2
    """Runs at the same time."""
    max_waiting: NonNegativeInt = 64
    """Runs that may wait; more are refused. An endpoint has a queue of its own besides: to it this service sends no
    more than `concurrency` and `max_waiting` together."""
    spin: bool = False
    """Threads wait busily for their next piece of work. Where processes share cores, as services on one machine do,
    that takes the cores from the others: several times slower."""

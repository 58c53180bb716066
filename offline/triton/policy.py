"""How Triton batches, queues and keeps the models: what an operator decides, in a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, model_validator


class PolicyError(ValueError):
    """The file is not a policy; the message says where and why."""


class ServingPolicy(BaseModel):
    """Of one model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_batch: PositiveInt = 32
    """Largest batch, of one request or of several put together. A TensorRT engine must be built for it."""
    preferred_batches: tuple[PositiveInt, ...] = (8, 16)
    """A batch that reaches one of these sizes does not wait for more."""
    max_delay_us: PositiveInt = 500
    """How long a request may wait for others to join it, microseconds. Not 0 (docs/decisions/0017)."""
    max_queue: PositiveInt = 64
    """Requests that may wait; more are refused. Their senders are told RESOURCE_EXHAUSTED by our services."""
    max_wait_ms: PositiveInt = 2000
    """How long a request may wait before it is refused, milliseconds; a caller's nearer deadline comes first."""
    instances: PositiveInt = 2
    """Copies of the model, of which each runs one batch at a time; on a GPU box: per GPU.
    One alone stalls (as above)."""
    threads: PositiveInt = 2
    """Of one instance on a CPU."""
    versions: PositiveInt = 2
    """Versions that are served, the latest ones: while services are being replaced both are asked for."""

    @model_validator(mode="after")
    def _preferred_fit(self) -> Self:
        if any(size > self.max_batch for size in self.preferred_batches):
            msg = f"preferred_batches {list(self.preferred_batches)}; none may exceed max_batch, {self.max_batch}"
            raise ValueError(msg)
        return self


class ServingPolicies(BaseModel):
    """Of all models, by name; a model that is not named has the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, ServingPolicy] = {}

    def of(self, model: str) -> ServingPolicy:
        return self.models.get(model, ServingPolicy())


def read_policies(path: Path) -> ServingPolicies:
    """The policies in a YAML file. Raises PolicyError."""
    try:
        return ServingPolicies.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError, ValidationError) as error:
        msg = f"{path} is not a serving policy: {error}"
        raise PolicyError(msg) from error

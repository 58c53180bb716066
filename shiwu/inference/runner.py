"""The port through which models run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from shiwu.chassis.errors import UnavailableError

Tensors = Mapping[str, NDArray[Any]]
"""Named arrays; the first axis of each is the batch."""


class TensorError(ValueError):
    """Inputs that the model does not take: a bug of the caller, found before the model runs."""


class ModelError(UnavailableError):
    """The model failed, or gave what is no answer, such as NaN. Another replica may do better."""


class ModelRunner(Protocol):
    """Runs one model. Inputs and outputs are named arrays whose first axis is the batch."""

    async def run(self, inputs: Tensors) -> Tensors:
        """All outputs for these inputs.

        Raises TensorError for inputs of wrong names, types or shapes; OverloadedError when too many runs wait;
        ModelError when the model fails; UnavailableError when it cannot be reached; DeadlineError when it is not run
        in time.
        """
        ...

    async def ready(self) -> bool:
        """Whether a run would find the model. May raise instead, as `run` does, which says why it would not."""
        ...

    async def close(self) -> None:
        """Lets go of the model; runs under way end first, later ones are refused with UnavailableError."""
        ...

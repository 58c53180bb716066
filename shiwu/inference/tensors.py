"""Checking arrays against what a model declares, the same for every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiwu.inference.runner import ModelError, TensorError, Tensors


@dataclass(frozen=True, slots=True)
class Declared:
    """One input as the model declares it. None in the shape: any size, the same for the first axis of all inputs."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


def check_inputs(inputs: Tensors, declared: Sequence[Declared]) -> None:
    """Raises TensorError, which names the input, unless these inputs are just what is declared."""
    expected, given = {d.name for d in declared}, set(inputs)
    if expected != given:
        missing, unknown = sorted(expected - given), sorted(given - expected)
        msg = f"inputs {sorted(given)}: missing {missing}, unknown {unknown}; the model takes {sorted(expected)}"
        raise TensorError(msg)
    batch: int | None = None
    for spec in declared:
        array = inputs[spec.name]
        if array.dtype != spec.dtype:
            msg = f"input {spec.name} is {array.dtype}; expected {spec.dtype}"
            raise TensorError(msg)
        if not _fits(array.shape, spec.shape):
            wanted = ", ".join("any" if side is None else str(side) for side in spec.shape)
            msg = f"input {spec.name} has shape {array.shape}; expected ({wanted})"
            raise TensorError(msg)
        if batch is not None and array.shape[0] != batch:
            msg = f"input {spec.name} has a batch of {array.shape[0]}, another input one of {batch}"
            raise TensorError(msg)
        batch = array.shape[0]


def require_finite(name: str, values: NDArray[np.floating[Any]], model: str) -> None:
    """Raises ModelError if an output of `model` has NaN or infinity in it."""
    finite = np.isfinite(values)
    if not finite.all():
        wrong = values.size - int(np.count_nonzero(finite))
        msg = f"model {model} gave {wrong} numbers in {name} that are NaN or infinite"
        raise ModelError(msg)


def _fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    return len(shape) == len(expected) and all(
        have >= 1 and want in (None, have) for have, want in zip(shape, expected, strict=True)
    )

"""Vectors travel as little-endian float32 bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shiwu.chassis.errors import InvalidInputError

Vector = NDArray[np.float32]

# As the contract says: of unit length within 1 %.
_LENGTH_TOLERANCE = 0.01


def to_vector(data: bytes, dimension: int, field: str) -> Vector:
    """The unit vector, (dimension,), of a message's bytes; small deviations from unit length are corrected."""
    if len(data) != dimension * 4:
        msg = f"has {len(data)} bytes; expected {dimension} float32 numbers = {dimension * 4} bytes"
        raise InvalidInputError(msg, field=field)
    vector = np.frombuffer(data, "<f4").astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(vector))
    if len(wrong):
        msg = f"number {wrong[0]} is {vector[wrong[0]]}; expected finite numbers"
        raise InvalidInputError(msg, field=field)
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(length - 1) > _LENGTH_TOLERANCE:
        msg = f"has length {length:.4g}; expected 1 within {_LENGTH_TOLERANCE:.0%}"
        raise InvalidInputError(msg, field=field)
    return (vector / length).astype(np.float32)


def from_vector(vector: Vector) -> bytes:
    """The bytes that a message carries."""
    return np.ascontiguousarray(vector, "<f4").tobytes()

"""`Box` messages: shares of a picture's width and height."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shiwu.chassis.errors import InvalidInputError
from shiwu.v1 import vision_pb2 as pb


def to_box(box: pb.Box, field: str) -> NDArray[np.float32]:
    """x_min, y_min, x_max, y_max as an array (4,), in shares of the picture."""
    for low_name, high_name in (("x_min", "x_max"), ("y_min", "y_max")):
        low, high = getattr(box, low_name), getattr(box, high_name)
        if not 0 <= low < high <= 1:  # NaN fails too
            msg = f"{low_name} is {low:g} and {high_name} is {high:g}; expected 0 <= {low_name} < {high_name} <= 1"
            raise InvalidInputError(msg, field=field)
    return np.array([box.x_min, box.y_min, box.x_max, box.y_max], np.float32)


def from_box(box: Sequence[float] | NDArray[np.float32]) -> pb.Box:
    """The message of x_min, y_min, x_max, y_max in shares of the picture."""
    x_min, y_min, x_max, y_max = (float(side) for side in box)
    return pb.Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)

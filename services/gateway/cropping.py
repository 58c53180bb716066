"""What of the photo is searched for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from services.gateway.ports import Box, Detected
from shiwu.vision.boxes import iou

_SURE: Final = 0.5
_LARGE: Final = 0.25
"""Share of the photo."""

CropSource = Literal["detected", "centre", "focus", "whole"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The box to search for."""

    objects: Sequence[Detected]
    """The main one first if source is "detected"."""
    box: Box
    source: CropSource

    @property
    def main(self) -> Detected | None:
        """The object in the box; None if it is none of the detector's."""
        return self.objects[0] if self.source == "detected" else None


def choose(objects: Sequence[Detected], focus: Box | None, *, focus_iou: float, centre_share: float) -> Choice:
    """The main object's box, from objects sorted as the detector does, the likeliest main one first.

    With a focus the main object is the one with the highest intersection over union with it, if that is at least
    `focus_iou`; otherwise the focus itself is searched, for the detector may have missed what the user sees.
    Without a focus it is the first object, if that is large or the detector is sure of it: a small unsure box
    is more often a detail than the thing that the user holds before the camera. Otherwise it is the centre,
    `centre_share` of each side.
    """
    if focus is not None:
        return _nearest(objects, focus, focus_iou)
    if objects and _counts(objects[0]):
        return Choice(objects, objects[0].box, "detected")
    return Choice(objects, centre(centre_share), "centre")


def centre(share: float) -> Box:
    """The middle of the photo with `share` of each side."""
    edge = (1.0 - share) / 2.0
    return Box(edge, edge, 1.0 - edge, 1.0 - edge)


def _counts(found: Detected) -> bool:
    x_min, y_min, x_max, y_max = found.box
    return found.score >= _SURE or (x_max - x_min) * (y_max - y_min) >= _LARGE


def _nearest(objects: Sequence[Detected], focus: Box, focus_iou: float) -> Choice:
    if objects:
        boxes = np.array([each.box for each in objects], np.float32)
        overlaps = iou(boxes, np.array([focus], np.float32))[:, 0]
        best = int(overlaps.argmax())
        if overlaps[best] >= focus_iou:
            main = objects[best]
            return Choice([main, *(each for each in objects if each is not main)], main.box, "detected")
    return Choice(objects, focus, "focus")

"""Which pixels of a picture belong to its one object, found without a model, and how doubtful that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shiwu.vision.boxes import Boxes
from shiwu.vision.resize import Image

Mask = NDArray[np.bool_]

_SIDE: Final = 144
_RING: Final = 4
"""Width of the border that is taken to show the background, pixels at _SIDE."""
_COLOURS: Final = 4


@dataclass(frozen=True, slots=True)
class Matte:
    """A mask of the object (height, width) and how far to believe it."""

    mask: Mask
    agreement: float
    """IoU of the mask with what differs from the border's colours; low when GrabCut took a part for the whole."""
    contact: float
    """Share of the border that the object covers."""
    roughness: float
    """Standard deviation of the background's colours; low in a studio."""

    @property
    def area(self) -> float:
        return float(self.mask.mean())


def on_white(image: Image, tolerance: int = 6) -> Mask:
    """The object of a picture on plain white: all that a flood from the border does not reach."""
    height, width = image.shape[:2]
    framed = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    reached = np.zeros((height + 4, width + 4), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (255 << 8)
    cv2.floodFill(framed, reached, (0, 0), 0, (tolerance,) * 3, (tolerance,) * 3, flags)
    object_ = (reached[2:-2, 2:-2] == 0).astype(np.uint8)
    return _main_parts(_morph(object_, cv2.MORPH_OPEN, 3), 0.05)


def by_contrast(image: Image) -> Matte | None:
    """The object that stands out from the colours of the border; None without one.

    GrabCut (Rother et al., SIGGRAPH 2004), started from what the border's colours do not explain.
    """
    scale = _SIDE / max(image.shape[:2])
    size = (max(16, round(image.shape[1] * scale)), max(16, round(image.shape[0] * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    ring = np.ones(lab.shape[:2], bool)
    ring[_RING:-_RING, _RING:-_RING] = False
    salient = _differs(lab, lab[ring])
    guess = np.where(salient, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    y, x = np.mgrid[: size[1], : size[0]]
    guess[(abs(y / size[1] - 0.5) < 0.12) & (abs(x / size[0] - 0.5) < 0.12)] = cv2.GC_PR_FGD
    edge = np.ones_like(ring)
    edge[_RING // 2 : -_RING // 2, _RING // 2 : -_RING // 2] = False
    guess[edge] = cv2.GC_BGD
    if (guess == cv2.GC_PR_FGD).sum() < 20:
        return None
    # GrabCut seeds its mixtures from OpenCV's own generator.
    cv2.setRNGSeed(1)
    cv2.grabCut(small, guess, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    found = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = _main_parts(_morph(_morph(found, cv2.MORPH_OPEN, 3), cv2.MORPH_CLOSE, 5), 0.2)
    if not mask.any() or mask.all():
        return None
    agreement = float((mask & salient).sum() / (mask | salient).sum())
    full = cv2.resize(mask.astype(np.float32), (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR) > 0.5
    return Matte(full, agreement, float(mask[ring].mean()), float(lab[~mask].std(axis=0).mean()))


def box_of(mask: Mask) -> Boxes:
    """The tight box around a mask that is not empty, shape (1, 4), pixels."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)


def _differs(lab: NDArray[np.float32], border: NDArray[np.float32]) -> Mask:
    """Pixels unlike every common colour of the border, in units of that colour's spread (Otsu's threshold)."""
    cv2.setRNGSeed(1)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)
    _, labels, centres = cv2.kmeans(border, _COLOURS, np.zeros((0,), np.int32), stop, 1, cv2.KMEANS_PP_CENTERS)
    distance = np.full(lab.shape[:2], np.inf, np.float32)
    for colour, centre in enumerate(centres):
        members = border[labels.ravel() == colour]
        if len(members) < 0.06 * len(border):
            continue
        spread = np.maximum(members.std(axis=0), 3.0)
        distance = np.minimum(distance, np.square((lab - centre) / spread).sum(axis=2))
    levels = np.clip(np.sqrt(distance) * 12, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    different: Mask = levels > min(max(threshold, 30.0), 110.0)
    return different


def _morph(mask: NDArray[np.uint8], operation: int, side: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.morphologyEx(mask, operation, np.ones((side, side), np.uint8)), np.uint8)


def _main_parts(mask: NDArray[np.uint8], share: float) -> Mask:
    """The connected parts that have at least `share` of the biggest one's area: a pair of shoes stays a pair."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.zeros(mask.shape, bool)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    kept: Mask = np.isin(labels, 1 + np.flatnonzero(sizes >= share * sizes.max()))
    return kept

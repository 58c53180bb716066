"""Scenes made of cut-outs on backgrounds, with exact boxes."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.training.detector import procedural
from offline.training.detector.library import Cutout, Library
from offline.training.detector.mattes import Mask, box_of
from offline.training.detector.pasting import develop, paste, pose, relight, soften
from offline.training.detector.targets import Truth
from shiwu.categories import CATEGORIES
from shiwu.vision.resize import Image

_SHARES: Final = {
    "shoes": 0.08,
    "bags": 0.08,
    "clothing": 0.13,
    "appliances": 0.09,
    "toys": 0.12,
    "books": 0.06,
    "food": 0.18,
    "jewellery": 0.05,
    "furniture": 0.07,
    "other": 0.14,
}
"""How often a pasted object has each category; rare ones more often than their number would give."""
_PACKAGES: Final = 0.07
"""Pasted packages of no category, drawn by program: cartons, bottles' labels and tins are what shops are full of."""
_SMALL: Final = (0.008, 0.12)
"""Least and largest share of the picture of the objects of a scene with small ones."""
_VISIBLE: Final = 0.35
"""An object of which less is seen is neither taught nor held against the detector."""


class Scenes:
    """Makes scenes from a library, each with a photo's aspect ratio and a longest side of `side` pixels.

    cutouts: what is pasted; None: the library's for training, and packages and books drawn by program.
    small: share of the scenes on backgrounds that have small objects only.
    balance: rare categories are pasted more often than their number would give.
    """

    def __init__(
        self,
        library: Library,
        side: int,
        cutouts: list[Cutout] | None = None,
        *,
        small: float = 0.0,
        balance: bool = True,
    ) -> None:
        self._library = library
        self._side = side
        self._small = small
        self._groups: dict[int, dict[str, list[Cutout]]] = {}
        for cutout in library.cutouts if cutouts is None else cutouts:
            self._groups.setdefault(cutout.category, {}).setdefault(cutout.group, []).append(cutout)
        if balance:
            self._shares = {CATEGORIES.index(c): s for c, s in _SHARES.items() if CATEGORIES.index(c) in self._groups}
        else:
            counts = {code: sum(map(len, groups.values())) for code, groups in self._groups.items() if code >= 0}
            self._shares = {code: count / sum(counts.values()) for code, count in counts.items()}
        if cutouts is None:
            books = CATEGORIES.index("books")
            self._shares[books] = self._shares.get(books, _SHARES["books"])
            self._shares[-1] = _PACKAGES

    def make(self, rng: Generator, base: tuple[Image, Truth] | None = None) -> tuple[Image, Truth]:
        """A scene on a background, or on the photo `base` with its known boxes; one main object is the usual case."""
        canvas = (self._background(rng) if base is None else base[0]).astype(np.float32)
        whole = canvas.shape[0] * canvas.shape[1]
        small = base is None and self._small > 0 and rng.random() < self._small
        kind = rng.random()
        shares = [float(np.exp(rng.uniform(np.log(0.1), np.log(0.9))))]
        if small:
            shares = [float(np.exp(rng.uniform(*np.log(_SMALL)))) for _ in range(rng.integers(1, 6))]
        elif base is not None or kind > 0.7:
            shares = [float(np.exp(rng.uniform(np.log(0.008), np.log(0.18)))) for _ in range(rng.integers(1, 7))]
        elif kind > 0.45:
            shares = [float(s) * shares[0] for s in rng.uniform(0.03, 0.4, rng.integers(1, 4))] + shares
            if rng.random() < 0.4:
                shares.reverse()
        elif kind < 0.04:
            shares = []
        owner = np.zeros(canvas.shape[:2], np.int16)
        pasted: list[tuple[int, int]] = []
        for share in shares:
            if rng.random() < 0.12 and self._library.negatives:
                negatives = self._library.negatives
                self._add(canvas, negatives[rng.integers(len(negatives))], share * whole, rng)
            cutout = self.pick(rng)
            full, covered = self._add(canvas, cutout, share * whole, rng)
            if full:
                owner[covered] = len(pasted) + 1
                pasted.append((full, cutout.category))
        truth = _visible(owner, pasted, base[1] if base is not None else None)
        return develop(canvas, rng), truth

    def pick(self, rng: Generator) -> Cutout:
        """A cut-out: category by share, then any object, then any of its views."""
        codes = list(self._shares)
        weights = np.array(list(self._shares.values()))
        category = codes[rng.choice(len(codes), p=weights / weights.sum())]
        groups = self._groups.get(category, {})
        if category == -1 or not groups:
            return procedural.package(rng, self._texture(rng), book=category != -1)
        views = list(groups.values())[rng.integers(len(groups))]
        return views[rng.integers(len(views))]

    def _add(self, canvas: NDArray[np.float32], cutout: Cutout, area: float, rng: Generator) -> tuple[int, Mask]:
        """Pastes one cut-out; the number of its pixels, those outside included, and the mask of those inside."""
        sprite = pose(cutout, area, 0.7, rng)
        nothing = np.zeros(canvas.shape[:2], bool)
        if sprite is None:
            return 0, nothing
        sprite = soften(relight(sprite, canvas, rng), rng)
        height, width = sprite.alpha.shape
        # A main object sits near the middle, small ones anywhere; all may be cut by the frame.
        room = np.array([canvas.shape[1] - width, canvas.shape[0] - height])
        spot = rng.beta(2, 2, 2) if area > 0.08 * canvas[..., 0].size else rng.random(2)
        slack = 0.12 * np.array([width, height])
        left, top = (np.where(room > 0, room, 0) * spot + np.minimum(room, 0) * rng.random(2)).astype(int)
        if rng.random() < 0.25:
            left, top = left + int(rng.normal(0, slack[0])), top + int(rng.normal(0, slack[1]))
        covered = paste(canvas, sprite, int(left), int(top), rng)
        return int((sprite.alpha > 0.5).sum()), covered

    def _background(self, rng: Generator) -> Image:
        aspect = float(rng.choice([3 / 4, 4 / 3, 1.0, 9 / 16, 16 / 9, 2 / 3], p=[0.34, 0.22, 0.22, 0.08, 0.06, 0.08]))
        width, height = round(self._side * min(aspect, 1.0)), round(self._side / max(aspect, 1.0))
        kind = rng.random()
        if kind < 0.1:
            level = np.array([255.0] * 3) if rng.random() < 0.5 else rng.uniform(0, 255, 3)
            return np.broadcast_to(level.astype(np.uint8), (height, width, 3)).copy()
        picture = _cut(self._texture(rng), width, height, rng)
        if kind < 0.35:
            # A surface and what stands behind it.
            surface = _cut(self._texture(rng), width, height, rng)
            horizon = int(height * rng.uniform(0.2, 0.75))
            picture[horizon:] = surface[horizon:]
        if rng.random() < 0.3:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 4.0)), np.uint8)
        return picture

    def _texture(self, rng: Generator) -> Image:
        return self._library.backgrounds[rng.integers(len(self._library.backgrounds))]


def _cut(picture: Image, width: int, height: int, rng: Generator) -> Image:
    """A random region with the aspect ratio of (width, height), at that size, mirrored at times."""
    rows, columns = picture.shape[:2]
    scale = min(columns / width, rows / height) * rng.uniform(0.5, 1.0)
    w, h = max(8, int(width * scale)), max(8, int(height * scale))
    x, y = rng.integers(0, max(1, columns - w)), rng.integers(0, max(1, rows - h))
    region = picture[y : y + h, x : x + w]
    region = region[:, ::-1] if rng.random() < 0.5 else region
    return np.asarray(cv2.resize(region, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _visible(owner: NDArray[np.int16], pasted: list[tuple[int, int]], below: Truth | None) -> Truth:
    """Boxes around what is still seen of each pasted object, and those boxes of the photo below that are not hidden."""
    boxes: list[NDArray[np.float32]] = []
    categories: list[int] = []
    ignored: list[NDArray[np.float32]] = []
    for index, (full, category) in enumerate(pasted, 1):
        mask = owner == index
        seen = int(mask.sum())
        if seen < 30:
            continue
        box = box_of(mask)[0]
        if seen < _VISIBLE * full:
            ignored.append(box)
        else:
            boxes.append(box)
            categories.append(category)
    if below is not None:
        ignored.extend(below.ignored)
        for box, category in zip(below.boxes, below.categories, strict=True):
            x1, y1, x2, y2 = box.astype(int)
            inside = owner[y1 : y2 + 1, x1 : x2 + 1]
            if (inside > 0).mean() > 0.4:
                ignored.append(box)
            else:
                boxes.append(box)
                categories.append(int(category))
    return Truth(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(categories, np.int64),
        np.array(ignored, np.float32).reshape(-1, 4),
    )

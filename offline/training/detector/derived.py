"""Masks and boxes derived from pictures, kept in a file: finding them takes minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from offline.training.detector import matching, mattes
from shiwu.vision.boxes import Boxes
from shiwu.vision.resize import Image

_QUALITY: Final = "q|"
_MASK: Final = "m|"
_BOX: Final = "b|"


class DerivedCache:
    """Results by the picture's name; an empty array says that there is none. Written on leaving the context."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, NDArray[np.generic]] = {}
        self._grown = False

    def __enter__(self) -> DerivedCache:
        if self._path.exists():
            with np.load(self._path) as stored:
                self._known = {key: stored[key] for key in stored.files}
        return self

    def __exit__(self, *_: object) -> None:
        if self._grown:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(self._path, **self._known)  # type: ignore[arg-type]

    def matte(self, name: str, pixels: Image) -> mattes.Matte | None:
        """`mattes.by_contrast` of the picture."""
        if _QUALITY + name not in self._known:
            self._grown = True
            matte = mattes.by_contrast(pixels)
            self._known[_QUALITY + name] = np.zeros(0, np.float32)
            if matte is not None:
                quality = np.array([matte.agreement, matte.contact, matte.roughness], np.float32)
                self._known[_QUALITY + name] = quality
                self._known[_MASK + name] = np.asarray(cv2.imencode(".png", matte.mask.astype(np.uint8) * 255)[1])
        quality = self._known[_QUALITY + name].astype(np.float32)
        if not len(quality):
            return None
        mask = cv2.imdecode(self._known[_MASK + name].astype(np.uint8), cv2.IMREAD_GRAYSCALE)
        return mattes.Matte(np.asarray(mask) > 127, *(float(value) for value in quality))

    def box(self, name: str, pixels: Image, wanted: matching.Template) -> Boxes | None:
        """`matching.locate` of the article in the picture."""
        if _BOX + name not in self._known:
            self._grown = True
            box = matching.locate(pixels, wanted)
            self._known[_BOX + name] = np.zeros((0, 4), np.float32) if box is None else box
        box = self._known[_BOX + name].astype(np.float32)
        return box if len(box) else None

"""Simulated phone shots of flat products: on a table among other things, under a lamp, askew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from evaluation.demo import pixels
from evaluation.flat_art import art
from evaluation.flat_covers import Cover
from evaluation.phone_shots import PhoneShot, shoot_boxed
from offline.training.items import load_items
from services.gateway.ports import Box
from shiwu.vision.resize import Image

SIDE: Final = 360
"""Pixels of a shot."""

HARD: Final = PhoneShot(perspective=0.15, cover=(0.45, 0.85), light=0.4, cast=0.12, blur=1.2, noise=6.0, glare=0.7)

_GROUNDS: Final = ("clouds", "stripes", "tiles", "gradient", "waves", "cells")
_CLUTTERED: Final = 0.5
"""Share of the shots in which other products lie around."""


@dataclass(frozen=True)
class FlatShot:
    """A photo of a cover. box: where the cover is."""

    cover: Cover
    photo: bytes
    box: Box


def flat_shots(covers: Sequence[Cover], seed: int, backgrounds: Sequence[Image] = ()) -> Iterator[FlatShot]:
    """A shot of every cover; equal for equal arguments. backgrounds: RGB; none: generated ones."""
    for i, cover in enumerate(covers):
        random = np.random.default_rng((seed, i))
        ground = _ground(covers, backgrounds, random)
        shot = shoot_boxed(cover.picture(), ground, int(random.integers(2**31)), SIDE, HARD)
        yield FlatShot(cover, shot.photo, Box(*shot.box))


def read_backgrounds(data: Path | None) -> list[Image]:
    """The pictures of DATA/backgrounds; none without `data`. Raises ItemsError."""
    items = load_items(data, ["backgrounds"]) if data is not None else ()
    return [pixels(item.path) for item in items]


def _ground(covers: Sequence[Cover], given: Sequence[Image], random: np.random.Generator) -> Image:
    if given:
        chosen = given[int(random.integers(len(given)))]
    else:
        tones = [tuple(int(level) for level in random.integers(60, 220) + random.integers(-25, 25, 3)) for _ in "1234"]
        paper, ink, first, second = ((red, green, blue) for red, green, blue in tones)
        kind = str(random.choice(_GROUNDS))
        chosen = art(kind, (paper, ink, first, second), int(random.integers(2**31)), SIDE, SIDE)
    ground = np.asarray(cv2.resize(chosen, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    if random.random() < _CLUTTERED:
        for _ in range(int(random.integers(1, 4))):
            _put(covers[int(random.integers(len(covers)))], ground, random)
    return ground


def _put(other: Cover, ground: Image, random: np.random.Generator) -> None:
    """Another product, somewhere near the edge, partly outside."""
    picture = other.picture()
    side = random.uniform(0.3, 0.6)
    turned = np.rot90(
        cv2.resize(picture, None, fx=side, fy=side, interpolation=cv2.INTER_AREA), int(random.integers(4))
    )
    height, width = turned.shape[:2]
    angle = random.uniform(0, 2 * np.pi)
    left = int(SIDE / 2 * (1 + np.cos(angle)) - width / 2)
    top = int(SIDE / 2 * (1 + np.sin(angle)) - height / 2)
    right, bottom = min(SIDE, left + width), min(SIDE, top + height)
    x, y = max(0, left), max(0, top)
    ground[y:bottom, x:right] = turned[y - top : bottom - top, x - left : right - left]

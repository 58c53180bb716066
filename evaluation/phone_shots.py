"""Simulated phone shots: what a phone would make of a picture that lies or stands before it.

A simulation, and called so wherever its results are shown: it has perspective, a strange background, uneven light, a
colour cast, blur, noise and JPEG artefacts, but neither another side of the object nor another copy of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shiwu.vision.resize import Image

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PhoneShot:
    """How hard the shot is: each a share of 1, where 0 changes nothing."""

    perspective: float = 0.12
    """How far a corner may move, as a share of the picture's side."""
    cover: tuple[float, float] = (0.55, 0.85)
    """Share of the frame's side that the picture takes."""
    light: float = 0.35
    """How much darker the far side may be."""
    cast: float = 0.10
    """How much a colour channel may gain or lose."""
    blur: float = 1.2
    """Largest standard deviation of the blur, pixels."""
    noise: float = 5.0
    """Standard deviation of the noise, grey levels."""
    quality: tuple[int, int] = (70, 90)
    """JPEG quality."""
    glare: float = 0.0
    """How bright the reflection of a lamp on a glossy cover may be."""


class Shot(NamedTuple):
    """A JPEG file, and where the picture is in it: x_min, y_min, x_max, y_max, shares of the frame."""

    photo: bytes
    box: tuple[float, float, float, float]


def shoot(picture: Image, background: Image, seed: int, size: int = 960, shot: PhoneShot | None = None) -> bytes:
    """A JPEG file of `size` x `size` pixels that shows the picture before the background; equal for equal seeds."""
    return shoot_boxed(picture, background, seed, size, shot).photo


def shoot_boxed(picture: Image, background: Image, seed: int, size: int = 960, shot: PhoneShot | None = None) -> Shot:
    """The same, and where the picture is."""
    how = shot or PhoneShot()
    random = np.random.default_rng(seed)
    frame, corners = _place(picture, _backdrop(background, size), how, random)
    frame = _lit(frame, how, random)
    if how.glare:
        frame = _glossy(frame, corners, how, random)
    frame = _blurred(frame, max(0.3, how.blur * random.random()))
    grain = random.normal(0.0, how.noise * random.random(), frame.shape)
    pixels = np.clip(frame + grain, 0, 255).astype(np.uint8)
    quality = int(random.integers(how.quality[0], how.quality[1] + 1))
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    x_min, y_min = np.clip(corners.min(axis=0) / size, 0.0, 1.0).tolist()
    x_max, y_max = np.clip(corners.max(axis=0) / size, 0.0, 1.0).tolist()
    return Shot(bytes(data), (x_min, y_min, x_max, y_max))


def _backdrop(background: Image, size: int) -> Floats:
    """The background out of focus, filling the frame."""
    filled = cv2.resize(background, (size, size), interpolation=cv2.INTER_AREA)
    return _blurred(filled, size / 100)


def _blurred(frame: NDArray[Any], deviation: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), deviation), np.float32)


def _place(picture: Image, frame: Floats, how: PhoneShot, random: np.random.Generator) -> tuple[Floats, Floats]:
    """The frame with the picture pasted by a random homography, and the picture's corners, (4, 2), pixels."""
    size = frame.shape[0]
    height, width = picture.shape[:2]
    side = size * random.uniform(*how.cover) / max(height, width)
    half = np.array([width, height]) * side / 2
    centre = size / 2 + random.uniform(-1, 1, 2) * np.maximum(0, size / 2 - half) * 0.5
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half + centre
    corners += random.uniform(-1, 1, (4, 2)) * how.perspective * half
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    homography = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    # Halving first keeps a large picture from aliasing when it is warped far smaller.
    scale = min(1.0, 2 * side)
    if scale < 1.0:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
        homography = homography @ np.diag([1 / scale, 1 / scale, 1.0])
    warped = cv2.warpPerspective(picture, homography, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32)
    mask = cv2.warpPerspective(np.ones(picture.shape[:2], np.float32), homography, (size, size))[..., None]
    return np.asarray(warped * mask + frame * (1 - mask), np.float32), np.asarray(corners, np.float32)


def _glossy(frame: Floats, corners: Floats, how: PhoneShot, random: np.random.Generator) -> Floats:
    """A soft oval of white light somewhere on the picture."""
    size = frame.shape[0]
    centre = corners.min(axis=0) + random.random(2) * np.ptp(corners, axis=0)
    axes = np.maximum(1, np.ptp(corners, axis=0) * random.uniform(0.08, 0.3, 2))
    centre, axes = centre / 4, np.maximum(1, axes / 4)  # soft light needs few pixels
    spot = np.zeros((size // 4, size // 4), np.float32)
    turn = float(random.uniform(0, 180))
    cv2.ellipse(spot, tuple(map(round, centre.tolist())), tuple(map(round, axes.tolist())), turn, 0, 360, 1.0, -1)
    light = cv2.resize(_blurred(spot, size / 100), (size, size)) * np.float32(how.glare * random.random())
    return np.asarray(frame + (255 - frame) * light[..., None], np.float32)


def _lit(frame: Floats, how: PhoneShot, random: np.random.Generator) -> Floats:
    """Light that falls off in one direction, and a colour cast."""
    size = frame.shape[0]
    angle = random.uniform(0, 2 * np.pi)
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    light = np.asarray(1 - how.light * random.random() * (slope + 0.5), np.float32)
    cast = np.asarray(1 + random.uniform(-how.cast, how.cast, 3), np.float32)
    return np.asarray(frame * light[..., None] * cast, np.float32)

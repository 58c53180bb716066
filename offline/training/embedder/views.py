"""Random views of a picture: as a shop shows it, and as a detector would crop it from a phone photo.

All views are squares as the model reads them: a crop of any aspect ratio, letterboxed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from offline.training.embedder.pictures import Mask, Picture, over
from offline.training.embedder.weather import phone_light
from shiwu.vision.resize import Image

FILL = 127
_Points = NDArray[np.float32]
_MIN_SIDE = 8


def shop_view(picture: Picture, size: int, rng: np.random.Generator) -> Image:
    """The whole thing upright on a light, plain ground, margins and all."""
    low, high = (0.0, 0.2) if picture.alpha is not None else (-0.08, 0.04)
    corners = _corners(picture.rgb, rng, angle=float(rng.normal(0, 3)), tilt=0.03)
    ground = np.full((1, 1, 3), 255 if rng.random() < 0.7 else rng.integers(190, 256), np.uint8)
    rgb = _crop(picture, corners, rng.uniform(low, high, 4), ground, size)
    if rng.random() < 0.5:
        rgb = np.clip(rgb * rng.uniform(0.9, 1.08), 0, 255).astype(np.uint8)
    return _letterbox(rgb, size)


def phone_view(picture: Picture, backgrounds: Sequence[Image], size: int, rng: np.random.Generator) -> Image:
    """The thing held before or lying on a background, seen at an angle, in bad light, cropped by a box that errs."""
    corners = _corners(picture.rgb, rng, angle=_angle(rng), tilt=0.14)
    ground = _part(backgrounds[int(rng.integers(len(backgrounds)))], rng)
    rgb = _crop(picture, corners, rng.uniform(-0.1, 0.28, 4), ground, size)
    if rng.random() < 0.25:
        rgb = _something_before(rgb, backgrounds, rng)
    return _letterbox(phone_light(rgb, rng), size)


def photo_view(picture: Picture, size: int, rng: np.random.Generator) -> Image:
    """Another crop of a real photo; it needs little more than that."""
    height, width = picture.rgb.shape[:2]
    share = math.sqrt(rng.uniform(0.2, 1.0))
    aspect = math.exp(rng.uniform(-0.3, 0.3))
    part = np.array([width * min(1.0, share * aspect), height * min(1.0, share / aspect)])
    # A scanner is pointed at its object, so crops keep near the middle.
    shift = np.clip(rng.normal(0, 0.22, 2), -0.5, 0.5) * (np.array([width, height]) - part)
    middle = np.array([width, height]) / 2 + shift
    turn = _turn(_angle(rng) if rng.random() < 0.35 else float(rng.normal(0, 4)))
    half = part / 2
    inner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    source = (inner @ turn.T + middle).astype(np.float32)
    out = _fitted(part, size)
    target = _rectangle(out[0], out[1])
    transform = cv2.getPerspectiveTransform(source, target)
    rgb = cv2.warpPerspective(picture.rgb, transform, out, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    light = phone_light(np.asarray(rgb, np.uint8), rng, strength=0.5)
    return _letterbox(light, size)


def recoloured(picture: Picture, hue: int) -> Picture:
    """The same design in another colour: hues turned by `hue` degrees, except those of skin."""
    hsv = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + hue // 2) % 180
    turned = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    ycc = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2YCrCb)
    # The usual skin range in YCrCb (Chai & Ngan, 1999): models keep their faces.
    skin = cv2.inRange(ycc, np.array([0, 133, 77], np.uint8), np.array([255, 173, 127], np.uint8))
    rgb = np.where(skin[..., None] > 0, picture.rgb, turned).astype(np.uint8)
    return Picture(rgb, picture.alpha)


def colourful(picture: Picture) -> bool:
    """Whether turning its hues changes what a person would call its colour."""
    hsv = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2HSV)
    inside = np.ones(hsv.shape[:2], bool) if picture.alpha is None else picture.alpha > 127
    return bool(inside.any()) and float(np.mean(hsv[..., 1][inside] > 70)) > 0.35


def _angle(rng: np.random.Generator) -> float:
    """Mostly upright, at times any quarter turn."""
    quarter = 90.0 * rng.integers(1, 4) if rng.random() < 0.2 else 0.0
    return float(quarter + rng.normal(0, 10))


def _turn(degrees: float) -> NDArray[np.float64]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s], [s, c]])


def _rectangle(width: float, height: float) -> _Points:
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)


def _corners(rgb: Image, rng: np.random.Generator, angle: float, tilt: float) -> _Points:
    """Where the picture's corners fall after turning it and leaning it by up to `tilt` of its sides."""
    height, width = rgb.shape[:2]
    centred = _rectangle(width, height) - np.array([width / 2, height / 2], np.float32)
    leant = centred * (1 - rng.uniform(0, tilt, (4, 2)))
    return (leant @ _turn(angle).T).astype(np.float32)


def _crop(picture: Picture, corners: _Points, margins: NDArray[np.float64], ground: Image, size: int) -> Image:
    """The picture warped to `corners` over `ground`, cut to its bounding box plus margins: left, top, right, bottom."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    side = high - low
    low, high = low - margins[:2] * side, high + margins[2:] * side
    out = _fitted(high - low, size)
    target = (corners - low) * (np.array(out) / (high - low))
    height, width = picture.rgb.shape[:2]
    transform = cv2.getPerspectiveTransform(_rectangle(width, height), target.astype(np.float32))
    alpha: Mask = picture.alpha if picture.alpha is not None else np.full((height, width), 255, np.uint8)
    rgb = np.asarray(cv2.warpPerspective(picture.rgb, transform, out, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    mask = np.asarray(cv2.warpPerspective(alpha, transform, out), np.uint8)
    return over(rgb, mask, np.asarray(cv2.resize(ground, out), np.uint8))


def _fitted(box: NDArray[np.floating], size: int) -> tuple[int, int]:
    """Width and height of a box scaled to fit a square of `size`."""
    scale = size / max(float(box[0]), float(box[1]))
    return max(_MIN_SIDE, round(float(box[0]) * scale)), max(_MIN_SIDE, round(float(box[1]) * scale))


def _letterbox(rgb: Image, size: int) -> Image:
    height, width = rgb.shape[:2]
    square = np.full((size, size, 3), FILL, np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = rgb
    return square


def _part(background: Image, rng: np.random.Generator) -> Image:
    """A random part of a background, half its sides or more."""
    height, width = background.shape[:2]
    h, w = (max(1, int(side * rng.uniform(0.5, 1.0))) for side in (height, width))
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    part = background[top : top + h, left : left + w]
    return part[:, ::-1] if rng.random() < 0.5 else part


def _something_before(rgb: Image, backgrounds: Sequence[Image], rng: np.random.Generator) -> Image:
    """A fingertip, a shelf edge, a neighbour: a patch over one edge of the crop."""
    height, width = rgb.shape[:2]
    h, w = int(height * rng.uniform(0.1, 0.35)), int(width * rng.uniform(0.1, 0.35))
    if rng.random() < 0.5:
        h = height
    else:
        w = width
    top = 0 if rng.random() < 0.5 else height - h
    left = 0 if rng.random() < 0.5 else width - w
    patch = cv2.resize(_part(backgrounds[int(rng.integers(len(backgrounds)))], rng), (max(1, w), max(1, h)))
    result = rgb.copy()
    result[top : top + h, left : left + w] = patch[:h, :w]
    return result

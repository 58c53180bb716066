"""What light and a phone's camera do to a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from shiwu.vision.resize import Image

_Light = NDArray[np.float32]


def phone_light(rgb: Image, rng: np.random.Generator, strength: float = 1.0) -> Image:
    """Exposure, colour cast, uneven light, glare, blur, noise and JPEG; `strength` 0..1 scales how much and how often.

    The cast stays small: colour tells products apart, and cameras balance white.
    """
    x: _Light = np.asarray(rgb / 255, np.float32)
    gamma = np.float32(np.exp(rng.uniform(-0.35, 0.35) * strength))
    x = np.asarray(np.power(x, gamma), np.float32)
    x *= 1 + rng.uniform(-0.25, 0.2) * strength
    x *= (1 + rng.uniform(-0.08, 0.08, 3) * strength).astype(np.float32)
    height, width = x.shape[:2]
    if rng.random() < 0.5 * strength:
        x *= _slope(height, width, rng)[..., None]
    if rng.random() < 0.2 * strength:
        x += _glare(height, width, rng)[..., None]
    x = np.clip(x, 0, 1)
    if rng.random() < 0.45 * strength:
        x = _blur(x, rng)
    if rng.random() < 0.4 * strength:
        # Noise of a sensor is coarser than the pixels that are left after shrinking: it is drawn once per pixel, gray.
        x = x + rng.normal(0, rng.uniform(0.005, 0.04), (height, width, 1)).astype(np.float32)
    result = (np.clip(x, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.5 * strength:
        result = _jpeg(result, int(rng.integers(30, 85)))
    return result


def _slope(height: int, width: int, rng: np.random.Generator) -> _Light:
    """Light that falls off to one side."""
    dx, dy = rng.uniform(-0.35, 0.35, 2)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)
    slope = 1 + np.float32(dx) * x[None, :] + np.float32(dy) * y[:, None]
    return slope.astype(np.float32)


def _glare(height: int, width: int, rng: np.random.Generator) -> _Light:
    """A reflected lamp: a bright soft spot."""
    x = np.arange(width, dtype=np.float32) - np.float32(rng.uniform(0, width))
    y = np.arange(height, dtype=np.float32) - np.float32(rng.uniform(0, height))
    radius = rng.uniform(0.06, 0.22) * max(height, width)
    spot = rng.uniform(0.3, 0.9) * np.exp(-(x[None, :] ** 2 + y[:, None] ** 2) / (2 * radius**2))
    return spot.astype(np.float32)


def _blur(x: _Light, rng: np.random.Generator) -> _Light:
    """Out of focus, moved, or enlarged from few pixels."""
    kind = rng.integers(3)
    if kind == 0:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.5, 1.8))), np.float32)
    if kind == 1:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        end = int(rng.integers(0, length))
        cv2.line(kernel, (0, end), (length - 1, length - 1 - end), 1.0)
        return np.asarray(cv2.filter2D(x, -1, kernel / kernel.sum()), np.float32)
    height, width = x.shape[:2]
    share = rng.uniform(0.35, 0.8)
    small = cv2.resize(x, (max(2, int(width * share)), max(2, int(height * share))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height)), np.float32)


def _jpeg(rgb: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

"""Pasting a cut-out so that the paste is hard to tell (Dwibedi et al., Cut, Paste and Learn, ICCV 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.training.detector.library import Cutout
from shiwu.vision.resize import Image

Alpha = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A cut-out as it will appear: float pixels (h, w, 3) and alpha (h, w) in 0..1."""

    pixels: NDArray[np.float32]
    alpha: Alpha


def pose(cutout: Cutout, area: float, upright: float, rng: Generator) -> Sprite | None:
    """The cut-out turned, tilted and scaled so that its box covers about `area` square pixels; None if too thin.

    upright: probability of a small rotation only.
    """
    height, width = cutout.alpha.shape
    angle = rng.normal(0, 12) if rng.random() < upright else rng.uniform(-180, 180)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    radians = np.deg2rad(angle)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]], np.float32)
    stretch = np.array([np.exp(rng.normal(0, 0.1)), 1.0], np.float32)
    flip = np.array([-1.0 if rng.random() < 0.4 else 1.0, 1.0], np.float32)
    placed: NDArray[np.float32] = (corners - corners.mean(axis=0)) * stretch * flip @ turn.T
    extent = np.ptp(placed, axis=0)
    placed = placed * np.float32(math.sqrt(area / max(float(extent.prod()), 1.0)))
    placed += (rng.normal(0, 0.04, placed.shape) * np.ptp(placed, axis=0)).astype(np.float32)
    placed -= placed.min(axis=0)
    out = np.ceil(placed.max(axis=0)).astype(int)
    if out.min() < 6 or out.max() > 900:
        return None
    shrink = math.sqrt(area / (height * width))
    pixels, alpha = cutout.pixels, cutout.alpha
    if shrink < 0.6:
        # Warping far down would alias.
        size = (max(4, int(width * shrink * 1.3)), max(4, int(height * shrink * 1.3)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        alpha = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.uint8)
        corners *= np.array([size[0] / width, size[1] / height], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, placed.astype(np.float32))
    size = (int(out[0]), int(out[1]))
    warped = cv2.warpPerspective(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(alpha, matrix, size, flags=cv2.INTER_LINEAR)
    return Sprite(np.asarray(warped, np.float32), np.asarray(mask, np.float32) / np.float32(255))


def relight(sprite: Sprite, surroundings: NDArray[np.float32], rng: Generator) -> Sprite:
    """Exposure, contrast, colour of light and its falloff over the object, drawn a little to the surroundings' mean."""
    pixels = sprite.pixels
    mean = surroundings.reshape(-1, 3).mean(axis=0)
    tint = 1 + rng.uniform(0, 0.25) * (mean / max(float(mean.mean()), 1.0) - 1)
    gain = np.exp(rng.normal(0, 0.22))
    contrast = np.exp(rng.normal(0, 0.15))
    pixels = ((pixels - 128) * contrast + 128) * gain * tint.astype(np.float32)
    if rng.random() < 0.5:
        height, width = sprite.alpha.shape
        x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
        slope = rng.normal(0, 0.18, 2)
        pixels = pixels * (1 + slope[0] * x[None, :, None] + slope[1] * y[:, None, None]).astype(np.float32)
    if rng.random() < 0.5:
        pixels = pixels * (1 + rng.normal(0, 0.06, 3)).astype(np.float32)
    return Sprite(np.clip(pixels, 0, 255).astype(np.float32), sprite.alpha)


def soften(sprite: Sprite, rng: Generator) -> Sprite:
    """Edges blended in one of several ways, so that no single kind of edge gives an object away; at times a blur."""
    alpha, pixels = sprite.alpha, sprite.pixels
    edge = rng.random()
    if edge < 0.35:
        alpha = _blurred(alpha, rng.uniform(0.5, 1.6))
    elif edge < 0.75:
        alpha = np.asarray(cv2.erode(alpha, np.ones((3, 3), np.uint8)), np.float32)
        alpha = _blurred(alpha, rng.uniform(0.4, 1.0))
    if rng.random() < 0.3:
        pixels = _blurred(pixels, rng.uniform(0.5, 1.8))
    return Sprite(pixels, alpha)


def paste(canvas: NDArray[np.float32], sprite: Sprite, left: int, top: int, rng: Generator) -> NDArray[np.bool_]:
    """Draws the sprite with its shadow at (left, top), which may lie outside; returns the pixels that it covers."""
    covered = np.zeros(canvas.shape[:2], bool)
    if rng.random() < 0.6:
        spread = max(1.0, 0.03 * math.sqrt(sprite.alpha.size) * rng.uniform(0.5, 2.0))
        pad = int(2 * spread) + 1
        shadow = _blurred(np.pad(sprite.alpha, pad), spread) * np.float32(rng.uniform(0.15, 0.6))
        shift = rng.normal(0, spread, 2)
        y, x, window = _window(canvas, shadow, int(left - pad + shift[0]), int(top - pad + abs(shift[1])))
        canvas[y, x] *= 1 - window[..., None]
    y, x, alpha = _window(canvas, sprite.alpha, left, top)
    _, _, pixels = _window(canvas, sprite.pixels, left, top)
    canvas[y, x] += (pixels - canvas[y, x]) * alpha[..., None]
    covered[y, x] = alpha > 0.5
    return covered


def _window(
    canvas: NDArray[np.float32], patch: NDArray[np.float32], left: int, top: int
) -> tuple[slice, slice, NDArray[np.float32]]:
    """The rows and columns of the canvas that a patch at (left, top) meets, and that part of the patch."""
    height, width = canvas.shape[:2]
    y1, x1 = min(max(top, 0), height), min(max(left, 0), width)
    y2, x2 = max(y1, min(top + patch.shape[0], height)), max(x1, min(left + patch.shape[1], width))
    return slice(y1, y2), slice(x1, x2), patch[y1 - top : y2 - top, x1 - left : x2 - left]


def _blurred(patch: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(patch, (0, 0), sigma), np.float32)


def develop(canvas: NDArray[np.float32], rng: Generator) -> Image:
    """What a camera does to the whole picture: exposure, colour, noise, blur, JPEG."""
    pixels = canvas * np.exp(rng.normal(0, 0.15))
    if rng.random() < 0.4:
        pixels = pixels * (1 + rng.normal(0, 0.07, 3)).astype(np.float32)
    if rng.random() < 0.4:
        mean = pixels.mean()
        pixels = (pixels - mean) * np.exp(rng.normal(0, 0.2)) + mean
    if rng.random() < 0.25:
        gray = pixels.mean(axis=2, keepdims=True)
        pixels = gray + (pixels - gray) * rng.uniform(0.0 if rng.random() < 0.1 else 0.5, 1.4)
    if rng.random() < 0.3:
        pixels = _blurred(np.asarray(pixels, np.float32), rng.uniform(0.4, 1.4))
    if rng.random() < 0.4:
        pixels = pixels + rng.standard_normal(pixels.shape, np.float32) * rng.uniform(1, 9)
    image: Image = np.clip(pixels, 0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return image

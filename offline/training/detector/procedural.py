"""Flat packages and books drawn by program, for the image sets have next to none."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.training.detector.library import Cutout
from shiwu.categories import CATEGORIES
from shiwu.vision.resize import Image

_LETTERS = "abcdefghijklmnopqrstuvwxyz  "


def package(rng: Generator, picture: Image, book: bool) -> Cutout:
    """A printed front with lettering and perhaps a picture; a book also shows its spine and pages, or lies open."""
    width = int(rng.uniform(110, 200))
    height = int(width * rng.uniform(1.2, 1.6) if book else width * np.exp(rng.normal(0.15, 0.4)))
    height = int(np.clip(height, 70, 330))
    front = _front(rng, picture, width, height)
    pixels, alpha = front, np.full((height, width), 255, np.uint8)
    if book and rng.random() < 0.2:
        pixels = np.concatenate([_page(rng, width, height), _page(rng, width, height)], axis=1)
        pixels[:, width - 4 : width + 4] //= 2
        alpha = np.full(pixels.shape[:2], 255, np.uint8)
    elif rng.random() < 0.6:
        pixels, alpha = _with_side(rng, front, book)
    if not book and rng.random() < 0.4:
        alpha = _rounded(alpha, int(min(alpha.shape) * rng.uniform(0.05, 0.45)))
    return Cutout(pixels, alpha, CATEGORIES.index("books") if book else -1, "drawn")


def _front(rng: Generator, picture: Image, width: int, height: int) -> Image:
    colour = rng.uniform(20, 255, 3)
    front = np.broadcast_to(colour, (height, width, 3)).astype(np.float32).copy()
    front += np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * rng.normal(0, 25)
    if rng.random() < 0.6:
        y1, x1 = int(rng.uniform(0, 0.4) * height), int(rng.uniform(0, 0.2) * width)
        y2, x2 = int(rng.uniform(0.6, 1.0) * height), int(rng.uniform(0.75, 1.0) * width)
        front[y1:y2, x1:x2] = cv2.resize(picture, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA)
    for _ in range(rng.integers(0, 3)):
        y, thick = int(rng.uniform(0, height)), int(rng.uniform(0.03, 0.25) * height)
        front[y : y + thick] = rng.uniform(0, 255, 3)
    printed = np.clip(front, 0, 255).astype(np.uint8)
    ink = 255.0 - colour if rng.random() < 0.6 else rng.uniform(0, 255, 3)
    y = int(rng.uniform(0.08, 0.3) * height)
    for _ in range(rng.integers(1, 6)):
        size = float(np.exp(rng.uniform(np.log(0.3), np.log(1.8))))
        text = "".join(rng.choice(list(_LETTERS), rng.integers(3, 16)))
        text = text.upper() if rng.random() < 0.5 else text.title()
        font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX]))
        x = int(rng.uniform(0.02, 0.3) * width)
        ink_now = [float(v) for v in np.clip(ink, 0, 255)]
        cv2.putText(printed, text, (x, y), font, size, ink_now, max(1, int(size * 2)), cv2.LINE_AA)
        y += int(size * 34)
    return printed


def _page(rng: Generator, width: int, height: int) -> Image:
    page = np.full((height, width, 3), rng.uniform(215, 255), np.uint8)
    for y in range(int(0.1 * height), int(0.9 * height), int(rng.uniform(6, 11))):
        end = int(width * (0.9 if rng.random() < 0.8 else rng.uniform(0.3, 0.9)))
        cv2.line(page, (int(0.1 * width), y), (end, y), (90, 90, 90), 1)
    return page


def _with_side(rng: Generator, front: Image, book: bool) -> tuple[Image, NDArray[np.uint8]]:
    """The front with one side in view: darker, or white pages."""
    height, width = front.shape[:2]
    depth = int(width * (rng.uniform(0.05, 0.22) if book else rng.uniform(0.1, 0.8)))
    lift = int(depth * rng.uniform(0.1, 0.5))
    if book and rng.random() < 0.6:
        side = np.full((height, depth, 3), 225, np.uint8)
        side[:, ::2] -= 30
    else:
        side = (cv2.resize(front[:, -max(2, width // 3) :], (depth, height)) * rng.uniform(0.5, 0.9)).astype(np.uint8)
    pixels = np.zeros((height + lift, width + depth, 3), np.uint8)
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    pixels[lift:, :width], alpha[lift:, :width] = front, 255
    # Each column of the side is pushed up a little more than the last.
    for column in range(depth):
        top = lift - round(lift * (column + 1) / depth)
        pixels[top : top + height, width + column] = side[:, column]
        alpha[top : top + height, width + column] = 255
    return pixels, alpha


def _rounded(alpha: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    height, width = alpha.shape
    mask = np.zeros_like(alpha)
    cv2.rectangle(mask, (radius, 0), (width - radius, height), 255, -1)
    cv2.rectangle(mask, (0, radius), (width, height - radius), 255, -1)
    for x in (radius, width - radius - 1):
        for y in (radius, height - radius - 1):
            cv2.circle(mask, (x, y), radius, 255, -1)
    return np.asarray(np.minimum(alpha, mask), np.uint8)

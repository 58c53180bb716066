"""Printed things, and photos of them."""

from __future__ import annotations

import cv2
import numpy as np

from shiwu.vision.resize import Image


def printed(seed: int) -> Image:
    """Something printed: shapes and letters."""
    rng = np.random.default_rng(seed)
    image = np.full((300, 220, 3), 235, np.uint8)
    for _ in range(25):
        colour = tuple(int(each) for each in rng.integers(0, 200, 3))
        corner = (int(rng.integers(0, 180)), int(rng.integers(0, 260)))
        cv2.circle(image, corner, int(rng.integers(4, 22)), colour, -1)
        text = "".join(chr(65 + int(each)) for each in rng.integers(0, 26, 4))
        cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour[::-1], 2)
    return image


def seen(image: Image, angle: float, seed: int = 0) -> Image:
    """A photo of it: turned, smaller, darker, noisy."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 0.7)
    turn[:, 2] += 40
    photo = cv2.warpAffine(image, turn, (320, 320), borderValue=(120, 110, 100)).astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, 6, photo.shape)
    return np.asarray(np.clip(photo * 0.8 + noise, 0, 255), np.uint8)

"""Pictures for covers and packages, drawn from numbers: scalar fields in a palette, and simple illustrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shiwu.vision.resize import Image

Colour = tuple[int, int, int]
"""RGB, 0 to 255 each."""
Palette = tuple[Colour, Colour, Colour, Colour]
"""Paper, ink that can be read on it, and two accents."""
Floats = NDArray[np.float32]

_SIDE = 72
"""Fields are computed at this side and enlarged: they are smooth, and it keeps a cover under 5 ms."""


def art(kind: str, palette: Palette, seed: int, width: int, height: int) -> Image:
    """An RGB picture (height, width, 3); equal for equal arguments. kind: one of KINDS."""
    random = np.random.default_rng(seed)
    if kind in _FIELDS:
        shades = np.interp(np.arange(256) / 255, (0, 0.35, 0.7, 1), (0, 1, 2, 3))
        table = np.array([np.interp(shades, range(4), [colour[i] for colour in palette]) for i in range(3)]).T
        field = cv2.resize(_normal(_FIELDS[kind](random)), (width, height), interpolation=cv2.INTER_CUBIC)
        levels = np.clip(field * 255, 0, 255).astype(np.uint8)
        return np.asarray(np.rint(table).astype(np.uint8)[levels], np.uint8)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = palette[0]
    _DRAWINGS[kind](canvas, palette, random)
    return canvas


def _normal(field: NDArray[Any]) -> Floats:
    low, high = float(field.min()), float(field.max())
    return np.asarray((field - low) / max(high - low, 1e-6), np.float32)


def _grid(span: float = 1.0) -> tuple[Floats, Floats]:
    axis = np.linspace(-span, span, _SIDE, dtype=np.float32)
    return axis[None, :], axis[:, None]


def _clouds(random: np.random.Generator) -> Floats:
    """Noise of several octaves."""
    field = np.zeros((_SIDE, _SIDE), np.float32)
    for octave in range(4):
        coarse = random.random((3 * 2**octave, 3 * 2**octave), np.float32)
        field += cv2.resize(coarse, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) / 2**octave
    return field


def _waves(random: np.random.Generator) -> Floats:
    x, y = _grid()
    a = random.uniform(2, 9, 4)
    bent = np.sin(a[0] * x + 2 * np.sin(a[1] * y)) + np.cos(a[2] * y + np.sin(a[3] * x))
    return np.asarray(bent, np.float32)


def _julia(random: np.random.Generator) -> Floats:
    """A Julia set by escape time, smoothed."""
    x, y = _grid(1.4)
    z = (x + 1j * y).astype(np.complex64)
    angle = random.uniform(0, 2 * np.pi)
    c = np.complex64(0.7885 * np.exp(1j * angle))
    steps = np.zeros(z.shape, np.float32)
    for _ in range(22):
        z = z * z + c
        far = np.abs(z) > 4
        z[far] = 4  # stays where it is from now on
        steps += ~far
    return np.sqrt(steps)


def _rings(random: np.random.Generator) -> Floats:
    x, y = _grid()
    u, v = random.uniform(-0.5, 0.5, 2)
    distance = np.hypot(x - u, (y - v) * random.uniform(0.6, 1.4))
    return np.asarray(np.sin(distance * random.uniform(8, 26)) * (1.2 - distance), np.float32)


def _cells(random: np.random.Generator) -> Floats:
    """Distance to the nearest of a few points (Worley noise)."""
    x, y = _grid()
    points = random.uniform(-1, 1, (int(random.integers(6, 16)), 2))
    distances = np.stack([np.hypot(x - u, y - v) for u, v in points])
    return np.asarray(np.sort(distances, axis=0)[int(random.integers(2))], np.float32)


def _rays(random: np.random.Generator) -> Floats:
    x, y = _grid()
    u, v = random.uniform(-0.6, 0.6, 2)
    return np.asarray(np.sin(np.arctan2(y - v, x - u) * int(random.integers(5, 16))), np.float32)


def _gradient(random: np.random.Generator) -> Floats:
    x, y = _grid()
    angle, bend = random.uniform(0, 2 * np.pi), random.uniform(-0.8, 0.8)
    return np.asarray(np.cos(angle) * x + np.sin(angle) * y + bend * x * y, np.float32)


def _stripes(canvas: Image, palette: Palette, random: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    y, x = np.mgrid[:height, :width]
    angle, period = random.uniform(0, np.pi), random.uniform(14, 60)
    phase = (np.cos(angle) * x + np.sin(angle) * y) / period
    order = random.permutation(4)
    canvas[:] = np.array(palette, np.uint8)[order][(np.floor(phase) % int(random.integers(2, 5))).astype(int)]


def _tiles(canvas: Image, palette: Palette, random: np.random.Generator) -> None:
    rows, columns = random.integers(3, 9, 2)
    chosen = np.array(palette, np.uint8)[random.integers(0, 4, (rows, columns))]
    canvas[:] = cv2.resize(chosen, (canvas.shape[1], canvas.shape[0]), interpolation=cv2.INTER_NEAREST)


def _discs(canvas: Image, palette: Palette, random: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    for _ in range(int(random.integers(4, 14))):
        centre = int(random.integers(width)), int(random.integers(height))
        radius = int(random.uniform(0.06, 0.3) * min(width, height))
        thickness = -1 if random.random() < 0.7 else int(random.integers(2, 9))
        cv2.circle(canvas, centre, radius, palette[int(random.integers(1, 4))], thickness, cv2.LINE_AA)


def _shards(canvas: Image, palette: Palette, random: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    for _ in range(int(random.integers(4, 12))):
        corners = random.uniform(-0.1, 1.1, (int(random.integers(3, 6)), 2)) * (width, height)
        hull = cv2.convexHull(corners.astype(np.int32))
        cv2.fillConvexPoly(canvas, hull, palette[int(random.integers(4))], cv2.LINE_AA)


def _dots(canvas: Image, palette: Palette, random: np.random.Generator) -> None:
    """A half-tone of some field."""
    step = int(random.integers(12, 26))
    field = _normal(_clouds(random))
    height, width = canvas.shape[:2]
    colour = palette[int(random.integers(1, 4))]
    for v in range(step // 2, height, step):
        for u in range(step // 2, width, step):
            share = field[v * _SIDE // height, u * _SIDE // width]
            cv2.circle(canvas, (u, v), round(0.6 * step * float(share)), colour, -1, cv2.LINE_AA)


def _hills(canvas: Image, palette: Palette, random: np.random.Generator) -> None:
    """A sun over hills."""
    height, width = canvas.shape[:2]
    sun = int(random.uniform(0.2, 0.8) * width), int(random.uniform(0.15, 0.45) * height)
    cv2.circle(canvas, sun, int(random.uniform(0.08, 0.2) * width), palette[3], -1, cv2.LINE_AA)
    x = np.arange(width)
    for level, colour in zip((0.5, 0.65, 0.8), (palette[2], palette[1], palette[3]), strict=True):
        waves = random.uniform(0.03, 0.1, 2) * height
        lengths, phases = random.uniform(0.5, 3, 2) * 2 * np.pi / width, random.uniform(0, 6, 2)
        line = level * height + waves[0] * np.sin(lengths[0] * x + phases[0]) + waves[1] * np.sin(lengths[1] * x)
        points = np.concatenate([np.stack([x, line], 1), [[width, height], [0, height]]]).astype(np.int32)
        cv2.fillPoly(canvas, [points], colour, cv2.LINE_AA)


def _skyline(canvas: Image, palette: Palette, random: np.random.Generator) -> None:
    """Houses with lit windows."""
    height, width = canvas.shape[:2]
    left = 0
    while left < width:
        wide, tall = int(random.uniform(0.08, 0.2) * width) + 4, int(random.uniform(0.25, 0.8) * height)
        cv2.rectangle(canvas, (left, height - tall), (left + wide - 3, height), palette[int(random.integers(1, 3))], -1)
        for v in range(height - tall + 6, height - 6, 14):
            for u in range(left + 4, left + wide - 10, 10):
                if random.random() < 0.4:
                    cv2.rectangle(canvas, (u, v), (u + 4, v + 6), palette[3], -1)
        left += wide


def _fruit(canvas: Image, palette: Palette, random: np.random.Generator) -> None:
    """Round fruit with a light on them and a leaf."""
    height, width = canvas.shape[:2]
    for _ in range(int(random.integers(1, 5))):
        radius = int(random.uniform(0.14, 0.32) * min(width, height))
        u, v = (int(random.uniform(0.25, 0.75) * side) for side in (width, height))
        squash = random.uniform(0.75, 1.25)
        cv2.ellipse(canvas, (u, v), (radius, int(radius * squash)), 0, 0, 360, palette[2], -1, cv2.LINE_AA)
        cv2.circle(canvas, (u - radius // 3, v - radius // 3), radius // 5, palette[3], -1, cv2.LINE_AA)
        leaf = int(random.uniform(-60, 60))
        top = v - int(radius * squash)
        cv2.ellipse(
            canvas, (u + radius // 4, top), (radius // 2, radius // 6), leaf, 0, 360, palette[1], -1, cv2.LINE_AA
        )


def _vessel(canvas: Image, palette: Palette, random: np.random.Generator) -> None:
    """A bottle or a jar, by its profile."""
    height, width = canvas.shape[:2]
    profile = np.interp(np.linspace(0, 1, 24), np.linspace(0, 1, 5), random.uniform(0.08, 0.36, 5))
    down = np.linspace(0.12, 0.92, 24) * height
    right = np.stack([width * (0.5 + profile), down], 1)
    left = np.stack([width * (0.5 - profile), down], 1)[::-1]
    cv2.fillPoly(canvas, [np.concatenate([right, left]).astype(np.int32)], palette[2], cv2.LINE_AA)
    top, bottom = int(down[8]), int(down[17])
    half = int(width * profile[8:18].min())
    cv2.rectangle(canvas, (width // 2 - half, top), (width // 2 + half, bottom), palette[3], -1)


_FIELDS: Final[Mapping[str, Callable[[np.random.Generator], Floats]]] = {
    "clouds": _clouds,
    "waves": _waves,
    "julia": _julia,
    "rings": _rings,
    "cells": _cells,
    "rays": _rays,
    "gradient": _gradient,
}
_DRAWINGS: Final[Mapping[str, Callable[[Image, Palette, np.random.Generator], None]]] = {
    "stripes": _stripes,
    "tiles": _tiles,
    "discs": _discs,
    "shards": _shards,
    "dots": _dots,
    "hills": _hills,
    "skyline": _skyline,
    "fruit": _fruit,
    "vessel": _vessel,
}
KINDS: Final = (*_FIELDS, *_DRAWINGS)

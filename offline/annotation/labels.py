"""Boxes drawn by people or found by rounds, as files of any format hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

Corners = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels, kept to a hundredth, so that every format gives back exactly what it got."""

_DIGITS: Final = 2
_SLACK: Final = 1.0
"""A box may reach so many pixels out of its picture, as rounding of tools makes it; it is cut there."""


class LabelError(ValueError):
    """A file does not hold the boxes that it should; the message names file, place, and what was expected."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A box. ignored: not to be learnt and not to be held against a detector ("difficult" of VOC, "crowd" of COCO)."""

    corners: Corners
    label: str
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and its boxes; file: its path below the folder of pictures, with "/"."""

    file: str
    width: int
    height: int
    boxes: tuple[Labelled, ...]


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Pictures sorted by file; labels: names of the categories, in the order in which formats number them."""

    labels: tuple[str, ...]
    pictures: tuple[Picture, ...]


def label_set(labels: Sequence[str], pictures: Sequence[Picture], source: Path) -> LabelSet:
    """Raises LabelError for a name or file that is there twice and for a box of an unknown name."""
    for what, names in (("category", list(labels)), ("picture", [each.file for each in pictures])):
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            msg = f"{source}: {what} {twice[0]!r} is there twice"
            raise LabelError(msg)
    known = frozenset(labels)
    for picture in pictures:
        unknown = next((box.label for box in picture.boxes if box.label not in known), None)
        if unknown is not None:
            msg = f"{source}: {picture.file} has a box of category {unknown!r}, which is none of {sorted(known)}"
            raise LabelError(msg)
    return LabelSet(tuple(labels), tuple(sorted(pictures, key=lambda each: each.file)))


def corners_in(values: Sequence[float], width: int, height: int, where: str) -> Corners:
    """Corners rounded to a hundredth and cut to the picture. Raises LabelError that begins with `where`."""
    if not all(math.isfinite(value) for value in values):
        msg = f"{where}: corners {list(values)} are not all numbers"
        raise LabelError(msg)
    limits = (width, height, width, height)
    if any(not -_SLACK <= value <= limit + _SLACK for value, limit in zip(values, limits, strict=True)):
        msg = f"{where}: box {list(values)} lies outside of its picture of {width} x {height} pixels"
        raise LabelError(msg)
    x1, y1, x2, y2 = (
        round(min(max(float(value), 0.0), float(limit)), _DIGITS) for value, limit in zip(values, limits, strict=True)
    )
    if x1 >= x2 or y1 >= y2:
        msg = f"{where}: box {list(values)} has no area; x_min < x_max and y_min < y_max are expected"
        raise LabelError(msg)
    return x1, y1, x2, y2


def size_in(width: int, height: int, where: str) -> tuple[int, int]:
    """Raises LabelError that begins with `where` unless both are positive."""
    if width < 1 or height < 1:
        msg = f"{where}: a picture of {width} x {height} pixels; both must be 1 or more"
        raise LabelError(msg)
    return width, height


def file_in(name: str, where: str) -> str:
    """A path that stays below its folder. Raises LabelError that begins with `where` for any other."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts:
        msg = f"{where}: {name!r} is not a path below the folder of pictures"
        raise LabelError(msg)
    return str(path)


def plain(value: float) -> str:
    """Without ".0", as tools that expect whole pixels want it."""
    return str(int(value)) if value == int(value) else repr(value)


def read_text(path: Path) -> str:
    """Raises LabelError if it cannot be read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise LabelError(msg) from error

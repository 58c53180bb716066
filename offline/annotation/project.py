"""A folder to annotate: all its pictures, and the boxes that people drew on some of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from offline.annotation import coco
from offline.annotation.config import Settings
from offline.annotation.labels import LabelError, Labelled, LabelSet, Picture, corners_in, label_set
from offline.annotation.material import Boxed, Material
from offline.annotation.rounds import Answer
from offline.annotation.yolo import SUFFIXES, size_of
from offline.training.detector.library import read
from offline.training.detector.targets import Truth
from shiwu.vision.resize import Image

PICTURES: Final = "images"
BOXES: Final = "boxes.json"
_LEAST: Final = 4
"""Hand-boxed pictures without which nothing can be trained, calibrated and guarded."""


@dataclass(frozen=True)
class Project:
    """`material` names pictures by their path below the folder of pictures."""

    folder: Path
    hand: LabelSet
    material: Material

    @classmethod
    def open(cls, folder: Path, settings: Settings) -> Project:
        """Raises LabelError if boxes are unreadable or too few, or one of their pictures is not there."""
        hand = coco.read(folder / BOXES)
        pictures = folder / PICTURES
        there = {p.relative_to(pictures).as_posix() for p in pictures.rglob("*") if p.suffix.lower() in SUFFIXES}
        absent = sorted({each.file for each in hand.pictures} - there)
        if absent:
            msg = f"{pictures / absent[0]} is not there, but has boxes; {len(absent)} such in all"
            raise LabelError(msg)
        if len(hand.pictures) < _LEAST:
            msg = f"{folder / BOXES}: boxes for {_LEAST} pictures or more are needed, not {len(hand.pictures)}"
            raise LabelError(msg)
        boxed = [_boxed(each, hand.labels) for each in hand.pictures]
        rest = sorted(there - {each.file for each in hand.pictures})
        material = split(boxed, rest, settings)
        for what, side in (("to train on", material.hand), ("held back", material.held_back)):
            if not any(len(each.truth.boxes) for each in side):
                msg = f"{folder / BOXES}: the {len(side)} pictures {what} have no box; draw some, or take another seed"
                raise LabelError(msg)
        return cls(folder, hand, material)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the categories."""
        return self.hand.labels

    def picture(self, file: str) -> Image:
        """Raises LabelError if it cannot be decoded."""
        try:
            return read(self.folder / PICTURES / file)
        except (OSError, ValueError) as error:
            msg = f"{self.folder / PICTURES / file} is not a picture"
            raise LabelError(msg) from error

    def labelled(self, labels: Sequence[Boxed]) -> LabelSet:
        """The boxes that people drew together with those of `labels`."""
        found = [self._found(each) for each in labels if len(each.truth.boxes)]
        return label_set(self.names, [*self.hand.pictures, *found], self.folder)

    def _found(self, boxed: Boxed) -> Picture:
        width, height = size_of(self.folder / PICTURES / boxed.picture)
        truth = boxed.truth
        boxes = [
            Labelled(corners_in(corners, width, height, boxed.picture), self.names[category])
            for corners, category in zip(truth.boxes.tolist(), truth.categories.tolist(), strict=True)
        ]
        return Picture(boxed.picture, width, height, tuple(boxes))


def split(boxed: Sequence[Boxed], rest: Sequence[str], settings: Settings) -> Material:
    """A random share of what people boxed is held back, at least one picture and at most all but one."""
    order = np.random.default_rng(settings.seed).permutation(len(boxed))
    count = min(max(1, round(settings.held_back * len(boxed))), len(boxed) - 1)
    held, hand = sorted(order[:count]), sorted(order[count:])
    return Material([boxed[i] for i in hand], [boxed[i] for i in held], list(rest))


def read_answers(path: Path, names: Sequence[str]) -> tuple[Answer, ...]:
    """JSON lines of `subject` (a proposal's) and `accepted`, the last word on a subject counts.

    Raises LabelError naming the line that is not such an answer.
    """
    said: dict[str, Answer] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise LabelError(msg) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            subject = row["subject"]
            x1, y1, x2, y2 = (float(value) for value in subject["box"])
            category = names.index(subject["category"])
            answer = Answer(str(subject["image_id"]), (x1, y1, x2, y2), category, _flag(row["accepted"]))
        except (KeyError, TypeError, ValueError) as error:
            msg = (
                f"{path}, line {number}: {error!r}; expected are a subject with image_id, box and category (one of "
                f"{list(names)}), and accepted (true or false)"
            )
            raise LabelError(msg) from error
        said[json.dumps(subject, sort_keys=True)] = answer
    return tuple(said.values())


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        msg = f"accepted is {value!r}"
        raise TypeError(msg)
    return value


def _boxed(picture: Picture, names: Sequence[str]) -> Boxed:
    kept = [box for box in picture.boxes if not box.ignored]
    ignored = [box for box in picture.boxes if box.ignored]
    boxes, regions = (np.array([box.corners for box in each], np.float32).reshape(-1, 4) for each in (kept, ignored))
    categories = np.array([names.index(box.label) for box in kept], np.int64)
    return Boxed(picture.file, Truth(boxes, categories, regions))

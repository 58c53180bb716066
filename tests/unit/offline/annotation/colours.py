"""A small trainer that really learns: things of a colour each on gray, found by the colours of the boxes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from offline.annotation.material import Boxed, Material
from offline.training.detector.measures import Detections
from offline.training.detector.targets import Truth
from shiwu.vision.resize import Image

NAMES = ("red", "blue")
SIDE = 48
_COLOURS = np.array([[200, 60, 60], [60, 60, 200]], float)
_BINS = 6


@dataclass(frozen=True)
class Histograms:
    """P(category | colour bin), (bins, bins, bins, categories + 1); the last is the ground."""

    shares: np.ndarray


class ColourTrainer:
    """Learns which colours lie in boxes of which category; a find is a connected part of one category's pixels."""

    def __init__(self, pictures: dict[str, Image]) -> None:
        self._pictures = pictures
        self.trainings: list[int] = []

    def train(self, boxed: Sequence[Boxed], seed: int) -> Histograms:
        self.trainings.append(seed)
        counts = np.full((_BINS, _BINS, _BINS, len(NAMES) + 1), 1e-3)
        for each in boxed:
            owner = np.full((SIDE, SIDE), len(NAMES))
            for x1, y1, x2, y2 in each.truth.ignored.round().astype(int):
                owner[y1:y2, x1:x2] = -1
            for (x1, y1, x2, y2), category in zip(
                each.truth.boxes.round().astype(int), each.truth.categories, strict=True
            ):
                owner[y1:y2, x1:x2] = category
            known = owner >= 0
            bins = self._bins(each.picture)[known]
            np.add.at(counts, (bins[:, 0], bins[:, 1], bins[:, 2], owner[known]), 1)
        return Histograms(counts / counts.sum(axis=3, keepdims=True))

    def predict(self, model: Histograms, pictures: Sequence[str]) -> list[Detections]:
        return [self._detect(model, picture) for picture in pictures]

    def save(self, model: Histograms, folder: Path) -> None:
        (folder / "shares.json").write_text(json.dumps(model.shares.tolist()))

    def load(self, folder: Path) -> Histograms:
        return Histograms(np.array(json.loads((folder / "shares.json").read_text())))

    def _bins(self, picture: str) -> np.ndarray:
        return self._pictures[picture].astype(int) * _BINS // 256

    def _detect(self, model: Histograms, picture: str) -> Detections:
        bins = self._bins(picture)
        shares = model.shares[bins[..., 0], bins[..., 1], bins[..., 2]]
        winner, found = shares.argmax(axis=2), []
        for category in range(len(NAMES)):
            mask = (winner == category).astype(np.uint8)
            count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
            for part in range(1, count):
                x, y, w, h, area = stats[part]
                if area >= 8:
                    score = shares[labels == part, category].mean() * area / (w * h)
                    found.append(((x, y, x + w, y + h), score, category))
        found.sort(key=lambda each: -each[1])
        return Detections(
            np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
            np.array([score for _, score, _ in found], np.float32),
            np.array([category for _, _, category in found], np.int64),
        )


def scene(seed: int) -> tuple[Image, Truth]:
    """One to three things, whose colour varies much from picture to picture, on a noisy ground."""
    rng = np.random.default_rng((5, seed))
    picture = np.full((SIDE, SIDE, 3), 120.0)
    boxes, categories = [], []
    for corner in rng.permutation(4)[: rng.integers(1, 4)]:
        category = int(rng.integers(len(NAMES)))
        w, h = rng.integers(8, 20, 2)
        x, y = np.array([corner % 2, corner // 2]) * SIDE // 2 + rng.integers(0, 4, 2)
        picture[y : y + h, x : x + w] = _COLOURS[category] + rng.normal(0, 35, 3)
        boxes.append((x, y, x + w, y + h))
        categories.append(category)
    picture += rng.normal(0, 6, picture.shape)
    truth = Truth(np.array(boxes, np.float32), np.array(categories), np.zeros((0, 4), np.float32))
    return np.clip(picture, 0, 255).astype(np.uint8), truth


@dataclass(frozen=True)
class World:
    material: Material
    truths: dict[str, Truth]
    pictures: dict[str, Image]


def world(hand: int = 6, held_back: int = 15, unlabelled: int = 60) -> World:
    made = {f"{i:03d}.png": scene(i) for i in range(hand + held_back + unlabelled)}
    truths = {name: truth for name, (_, truth) in made.items()}
    names = list(made)
    boxed = [Boxed(name, truths[name]) for name in names]
    material = Material(boxed[:hand], boxed[hand : hand + held_back], names[hand + held_back :])
    return World(material, truths, {name: picture for name, (picture, _) in made.items()})

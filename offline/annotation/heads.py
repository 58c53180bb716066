"""A trainer that two CPU cores can bear: the detector's heads on a backbone that stays as ImageNet left it.

The backbone's features of a picture, upright and mirrored, are computed once (features.py); every round trains pyramid
and heads on them from their random start. The network is the released detector's (offline.training.detector.model), as
are losses, targets and the reading of boxes; what is missing against its training are views other than the mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from offline.annotation.config import Heads
from offline.annotation.features import FrozenFeatures, Levels, Seen
from offline.annotation.material import Boxed
from offline.training.backbone import Pyramid
from offline.training.detector.config import Model
from offline.training.detector.layout import layout_of
from offline.training.detector.loss import Targets, losses
from offline.training.detector.measures import Detections
from offline.training.detector.model import Heads as RawHeads
from offline.training.detector.model import RetinaNet, scores_of
from offline.training.detector.targets import Assignment, Truth, assign
from offline.training.speed import bfloat16
from shiwu.vision.boxes import Boxes
from shiwu.vision.heads import HeadReader
from shiwu.vision.resize import Image, Placement

_CLIP: Final = 5.0
_WARMUP: Final = 0.1
_TOGETHER: Final = 16
"""Pictures that are predicted at once."""
_FLOOR: Final = 0.01
_LIMIT: Final = 50
_NMS_IOU: Final = 0.5
_FILE: Final = "heads.pt"
_BACKBONE: Final = "backbone."
_TARGETS: Final = 1024
"""Pictures whose targets stay in memory while training, each 0.13 MB at 192 pixels."""


class HeadTrainer:
    """`rounds.Trainer` over pictures that `read` gives by their id.

    labels: number of categories.
    """

    def __init__(self, read: Callable[[str], Image], labels: int, settings: Heads) -> None:
        self._features = FrozenFeatures(read, settings.size, settings.kept)
        self._labels = labels
        self._settings = settings
        self._layout = layout_of(Model(size=settings.size))
        self._references = self._layout.boxes(settings.size)
        self._reader = HeadReader(self._layout, settings.size, _NMS_IOU, prominence=0.0)

    def train(self, boxed: Sequence[Boxed], seed: int) -> RetinaNet:
        settings, rng = self._settings, np.random.default_rng(seed)
        net = self._network(seed).train()
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=settings.rate, weight_decay=settings.decay)
        references = torch.from_numpy(self._references)
        order = RandomOrder(len(boxed), rng)

        @lru_cache(_TARGETS)
        def targets_of(index: int, mirrored: bool) -> Assignment:
            """Working them out takes as long as a small network does for a picture."""
            placement = self._features(boxed[index].picture).placement
            truth = _in_square(boxed[index].truth, placement, settings.size if mirrored else None)
            return assign(truth, self._layout, self._references)

        for step in tqdm(range(settings.steps), desc=f"heads, {len(boxed)} pictures", unit="step", mininterval=5.0):
            optimizer.param_groups[0]["lr"] = settings.rate * pace(step / settings.steps)
            chosen = [(i, rng.random() < 0.5) for i in order.take(settings.batch)]
            views = [self._features(boxed[i].picture).view(mirrored) for i, mirrored in chosen]
            features = _together(views)
            targets = _stacked([targets_of(*each) for each in chosen])
            with bfloat16():
                heads = net.read(features)
            parts = losses(heads, targets, references, self._layout, settings.loss)
            total = parts.objectness + parts.categories + settings.loss.boxes * parts.boxes
            torch.autograd.backward(total)
            nn.utils.clip_grad_norm_(trained, _CLIP)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return net.eval()

    def predict(self, model: RetinaNet, pictures: Sequence[str]) -> list[Detections]:
        starts = tqdm(range(0, len(pictures), _TOGETHER), desc="predictions", unit_scale=_TOGETHER, unit="picture")
        return [each for start in starts for each in self._detect(model, pictures[start : start + _TOGETHER])]

    def save(self, model: RetinaNet, folder: Path) -> None:
        """The heads only: the backbone is ImageNet's."""
        own = {name: value for name, value in model.state_dict().items() if not name.startswith(_BACKBONE)}
        torch.save(own, folder / _FILE)

    def load(self, folder: Path) -> RetinaNet:
        net = self._network(0)
        backbone = {name: value for name, value in net.state_dict().items() if name.startswith(_BACKBONE)}
        net.load_state_dict(backbone | torch.load(folder / _FILE, map_location="cpu", weights_only=True))
        return net.eval()

    def _network(self, seed: int) -> RetinaNet:
        torch.manual_seed(seed)
        settings = self._settings
        net = RetinaNet(self._features.backbone, self._layout, settings.channels, settings.depth, self._labels)
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _detect(self, model: RetinaNet, pictures: Sequence[str]) -> list[Detections]:
        seen = [self._features(picture) for picture in pictures]
        with torch.inference_mode(), bfloat16():
            heads = model.read(_together([each.upright for each in seen]))
        scores, deltas = scores_of(RawHeads(*(part.float() for part in heads))).numpy(), heads.deltas.float().numpy()
        return [self._read(*each) for each in zip(scores, deltas, seen, strict=True)]

    def _read(self, scores: NDArray[np.float32], deltas: NDArray[np.float32], seen: Seen) -> Detections:
        shape = (seen.height, seen.width)
        shares, found = self._reader.read(scores, deltas, seen.placement, shape, min_score=_FLOOR, limit=_LIMIT)
        boxes = (shares * np.array([seen.width, seen.height] * 2)).astype(np.float32)
        return Detections(boxes, found.max(axis=1), found.argmax(axis=1).astype(np.int64))


class RandomOrder:
    """Every picture once, in random order, then again."""

    def __init__(self, count: int, rng: Generator) -> None:
        self._count = count
        self._rng = rng
        self._left: list[int] = []

    def take(self, number: int) -> list[int]:
        while len(self._left) < number:
            self._left += self._rng.permutation(self._count).tolist()
        taken, self._left = self._left[:number], self._left[number:]
        return taken


def _together(views: Sequence[Levels]) -> Pyramid:
    return Pyramid(*(torch.cat(level).float() for level in zip(*views, strict=True)))


def _stacked(answers: Sequence[Assignment]) -> Targets:
    parts = ((answer.objectness, answer.categories, answer.deltas) for answer in answers)
    return Targets(*(torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True)))


def _in_square(truth: Truth, placement: Placement, mirror: int | None) -> Truth:
    """The truth in the square's pixels; mirror: side of the square if it is mirrored."""

    def place(boxes: Boxes) -> Boxes:
        placed = placement.to_square(boxes)
        if mirror is None:
            return placed
        return np.stack([mirror - placed[:, 2], placed[:, 1], mirror - placed[:, 0], placed[:, 3]], axis=1)

    return Truth(place(truth.boxes), truth.categories, place(truth.ignored))


def pace(done: float) -> float:
    """Linear warm-up, then half a cosine down to 2 %."""
    return min(1.0, (done + 1e-3) / _WARMUP) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)

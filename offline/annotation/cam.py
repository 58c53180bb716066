"""Boxes from pictures of which only the categories are known: class activation maps (Zhou et al., CVPR 2016).

A classifier is a 3x3 convolution on the backbone's last features, their mean over the picture, and a linear layer. Its
weights for a category, applied before the mean, map where the category was seen. The box goes around the largest part
of the map above a share of its maximum (section 3.2; 20 % there, half here, which suits these coarser maps better). So
a category has one box in a picture however many things are there, and the box holds what tells the category, which may
be a part of the thing, or several things at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from offline.annotation.features import FrozenFeatures, Seen
from offline.annotation.heads import RandomOrder, pace
from offline.annotation.material import Boxed
from offline.training.backbone import PYRAMID_CHANNELS
from offline.training.detector.measures import Detections
from shiwu.vision import boxes as geometry
from shiwu.vision.resize import Image

SIZE: Final = 320
"""Pixels: a map of 10 x 10."""
_CHANNELS: Final = 256
_STEPS: Final = 400
_BATCH: Final = 32
_RATE: Final = 1e-3
_DECAY: Final = 0.05
SHARE: Final = 0.5
"""Of the map's maximum; chosen from .2, .35 and .5 on emoji composites of the pool."""
_FILE: Final = "maps.pt"


class ActivationMaps(nn.Module):
    """Last features (batch, 320, rows, columns) to maps (batch, categories, rows, columns).

    The mean of a category's map is its logit: the linear layer may as well come before the mean.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(PYRAMID_CHANNELS[-1], _CHANNELS, 3, padding=1)
        self.classes = nn.Conv2d(_CHANNELS, labels, 1)

    def forward(self, features: Tensor) -> Tensor:
        maps: Tensor = self.classes(functional.relu(self.conv(features)))
        return maps


class CamTrainer:
    """`rounds.Trainer` that looks at the categories of boxes only, never at where they are.

    labels: number of categories. A picture may hold several, so each is a yes or no of its own.
    """

    def __init__(self, read: Callable[[str], Image], labels: int, kept: int) -> None:
        self._features = FrozenFeatures(read, SIZE, kept, levels=1)
        self._labels = labels

    def train(self, boxed: Sequence[Boxed], seed: int) -> ActivationMaps:
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        net = ActivationMaps(self._labels).train()
        optimizer = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY)
        wanted = torch.zeros(len(boxed), self._labels)
        for row, each in zip(wanted, boxed, strict=True):
            row[each.truth.categories] = 1.0
        order = RandomOrder(len(boxed), rng)
        for step in tqdm(range(_STEPS), desc=f"maps, {len(boxed)} pictures", unit="step", mininterval=5.0):
            optimizer.param_groups[0]["lr"] = _RATE * pace(step / _STEPS)
            chosen = order.take(_BATCH)
            logits = net(torch.cat([self._view(boxed[i].picture, rng.random() < 0.5) for i in chosen])).mean((2, 3))
            torch.autograd.backward(functional.binary_cross_entropy_with_logits(logits, wanted[chosen]))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return net.eval()

    def predict(self, model: ActivationMaps, pictures: Sequence[str]) -> list[Detections]:
        """One box for each category, scored by the probability that the category is there."""
        return [
            self._detect(*self.maps(model, p), self._features(p)) for p in tqdm(pictures, desc="maps", unit="picture")
        ]

    def maps(self, model: ActivationMaps, picture: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The categories' maps over the letterboxed picture, (categories, rows, columns), and their probabilities."""
        with torch.inference_mode():
            maps = model(self._view(picture, mirrored=False))[0]
            return maps.numpy(), torch.sigmoid(maps.mean((1, 2))).numpy()

    def save(self, model: ActivationMaps, folder: Path) -> None:
        torch.save(model.state_dict(), folder / _FILE)

    def load(self, folder: Path) -> ActivationMaps:
        net = ActivationMaps(self._labels)
        net.load_state_dict(torch.load(folder / _FILE, map_location="cpu", weights_only=True))
        return net.eval()

    def _view(self, picture: str, mirrored: bool) -> Tensor:
        return self._features(picture).view(mirrored)[-1].float()

    def _detect(self, maps: NDArray[np.float32], odds: NDArray[np.float32], seen: Seen) -> Detections:
        square = np.concatenate([box_of_map(each, SIZE) for each in maps])
        boxes = geometry.clip(seen.placement.to_image(square), seen.width, seen.height)
        solid = geometry.areas(boxes) > 0
        return Detections(boxes[solid], odds[solid], np.flatnonzero(solid))


def box_of_map(activation: NDArray[np.float32], side: int) -> geometry.Boxes:
    """The box around the largest part of a map, stretched to `side` pixels, above SHARE of its maximum, (1, 4)."""
    shown = cv2.resize(np.maximum(activation, 0.0), (side, side), interpolation=cv2.INTER_LINEAR)
    mask = (shown >= SHARE * shown.max()).astype(np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(mask)
    x, y, width, height, _ = parts[1:][parts[1:, cv2.CC_STAT_AREA].argmax()]
    return np.array([[x, y, x + width, y + height]], np.float32)

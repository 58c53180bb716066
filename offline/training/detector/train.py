"""The training loop: seeded, resumable, on one CPU thread beside the processes that make pictures."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from offline.training.backbone import imagenet_backbone, normalise
from offline.training.detector.coco import Ssdlite, load_coco
from offline.training.detector.config import Model, Recipe
from offline.training.detector.examples import Example, Examples
from offline.training.detector.folding import fold_batch_norm
from offline.training.detector.layout import layout_of
from offline.training.detector.library import Library
from offline.training.detector.loss import Losses, Targets, forgotten, losses
from offline.training.detector.model import RetinaNet
from offline.training.detector.restart import load_released
from offline.training.speed import bfloat16, keep_memory

_CLIP: Final = 5.0
_SAVE_EVERY: Final = 100
CHECKPOINT: Final = "checkpoint.pt"


class Trainer:
    """A network on its way: weights, their running average, optimiser and the step reached."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.step = 0
        self.net: RetinaNet = build(recipe.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: RetinaNet = copy.deepcopy(self.net)
        rates, backbone = recipe.optimisation, [p for p in self.net.backbone.parameters() if p.requires_grad]
        owned = {id(p) for p in self.net.backbone.parameters()}
        rest = [p for p in self.net.parameters() if id(p) not in owned]
        groups = [
            {"params": backbone, "rate": rates.backbone_rate},
            {"params": [p for p in rest if p.ndim > 1], "rate": rates.head_rate},
            {"params": [p for p in rest if p.ndim == 1], "rate": rates.head_rate, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=rates.decay)
        coco = recipe.model.coco if backbone else None
        self._taught = None if coco is None else load_coco(coco)
        self._layout = layout_of(recipe.model)
        self._references = torch.from_numpy(self._layout.boxes(recipe.model.size))

    def run(self, library: Library, folder: Path) -> RetinaNet:
        """Trains up to the last step, saving to `folder` on the way; the averaged network."""
        keep_memory()
        torch.set_num_threads(1)
        if self.step == 0 and self.recipe.model.start is not None:
            self._start_from(self.recipe.model.start, library)
        recipe = self.recipe.optimisation
        loader: DataLoader[Any] = DataLoader(
            Examples(library, self.recipe, self.step),
            batch_size=recipe.batch,
            num_workers=recipe.workers,
            prefetch_factor=4 if recipe.workers else None,
        )
        shown = np.zeros(3)
        with tqdm(total=recipe.steps, initial=self.step, desc="detector", unit="step", mininterval=5.0) as bar:
            for batch in loader:
                if self.step >= recipe.steps:
                    break
                parts = np.array([part.item() for part in self.learn(batch)])
                shown = parts if self.step == 1 else shown + 0.03 * (parts - shown)
                bar.update()
                bar.set_postfix_str("object {:.3f} category {:.3f} box {:.3f}".format(*shown), refresh=False)
                if self.step % _SAVE_EVERY == 0 or self.step == recipe.steps:
                    self.save(folder / CHECKPOINT)
        return self.average

    def learn(self, batch: Example) -> Losses:
        """One step on a batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * self._pace()
        images, *targets = batch
        self.net.train()
        # Folded batch norm and fp32 depthwise convolutions make bfloat16 worth it; see folding.py.
        with bfloat16():
            features = self.net.features(images)
            heads = self.net.read(features)
        parts = losses(heads, Targets(*targets), self._references, self._layout, self.recipe.loss)
        total = parts.objectness + parts.categories + self.recipe.loss.boxes * parts.boxes
        trunk = self.net.backbone
        if self._taught is not None and isinstance(trunk, Ssdlite):
            with torch.no_grad():
                before = self._taught.heads(self._taught.pyramid(normalise(images)))
            total = total + self.recipe.loss.taught * forgotten(trunk.heads(features), before)
        torch.autograd.backward(total)
        nn.utils.clip_grad_norm_(self.net.parameters(), _CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._follow()
        return parts

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Continues from a saved state; the pictures to come differ from those already seen."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def _start_from(self, folder: Path, library: Library) -> None:
        examples, rng = Examples(library, self.recipe), np.random.default_rng(self.recipe.seed)
        images = np.stack([examples.draw(rng)[0] for _ in range(2 * self.recipe.optimisation.batch)])
        load_released(self.net, folder, torch.from_numpy(images))
        self.average.load_state_dict(self.net.state_dict())

    def _pace(self) -> float:
        """Linear warm-up, then half a cosine down to 2 %."""
        warm = min(1.0, (self.step + 1) / self.recipe.optimisation.warmup)
        return warm * (0.02 + 0.98 * (1 + math.cos(math.pi * self.step / self.recipe.optimisation.steps)) / 2)

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the averaged weights; the average is short at first, so that it forgets the random start."""
        keep = min(self.recipe.optimisation.ema, (1 + self.step) / (10 + self.step))
        for mean, now in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)


def build(model: Model) -> RetinaNet:
    """The network with a backbone that has learnt already, and heads ready to train."""
    if model.coco is not None:
        trunk = load_coco(model.coco)
        trunk.freeze(model.frozen_blocks)
        return RetinaNet(trunk, layout_of(model))
    backbone = imagenet_backbone()
    fold_batch_norm(backbone)
    backbone.freeze(model.frozen_blocks)
    return RetinaNet(backbone, layout_of(model))


def load_average(paths: Sequence[Path], model: Model) -> RetinaNet:
    """The averaged network of a checkpoint, or the mean of several, for measuring and export.

    Runs that go on from each other lie so near that their mean is as good on what each is good at (Wortsman et al.,
    Model soups, ICML 2022).
    """
    states = [torch.load(path, map_location="cpu", weights_only=True)["average"] for path in paths]
    net = build(model)
    mean: dict[str, Tensor] = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    net.load_state_dict(mean)
    return net.eval()

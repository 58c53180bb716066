"""The training loop: late blocks and projection on a pool of views."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from offline.training.embedder.losses import Memory, Proxies, Recall, contrast, structure
from offline.training.embedder.model import DESCRIPTOR, TRAINED_DIMENSION, Crown, start_as_pca
from offline.training.embedder.pool import Pool
from offline.training.embedder.sampling import Batches
from offline.training.speed import channels_last

_PCA_VIEWS = 8000


@dataclass(frozen=True, slots=True)
class Recipe:
    """Chosen by short measured runs; see the model card."""

    cycles: tuple[int, ...] = (500, 700)
    """Steps of each fall of the rate; what is released is the mean of the weights at their ends."""
    head_rate: float = 1e-3
    backbone_rate: float = 3e-4
    weight_decay: float = 0.02
    warmup: int = 50
    temperature: float = 0.07
    memory: int = 4096
    proxy_weight: float = 0.5
    style_weight: float = 0.2
    recall_weight: float = 0.3
    structure_weight: float = 50.0
    ema: float = 0.99
    seed: int = 0

    @property
    def steps(self) -> int:
        return sum(self.cycles)

    @property
    def ends(self) -> tuple[int, ...]:
        """The step after the last of each cycle."""
        return tuple(itertools.accumulate(self.cycles))


class _Task(nn.Module):
    """Everything that learns."""

    def __init__(self, crown: Crown, pool: Pool, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        self._products = Memory(recipe.memory, TRAINED_DIMENSION)
        self._styles = Memory(recipe.memory, TRAINED_DIMENSION)
        self.crown = crown
        self.proxies = Proxies(int(pool.product.max()) + 1, TRAINED_DIMENSION, scale=24.0, margin=0.15)
        self.recall = Recall(TRAINED_DIMENSION, DESCRIPTOR)

    def loss(self, vectors: Tensor, products: Tensor, styles: Tensor, known: Tensor) -> Tensor:
        """Of a batch: vectors (n, d) of the crown, labels (n,), standardised descriptors (n, 1432)."""
        recipe = self._recipe
        total: Tensor = contrast(vectors, products, self._products, recipe.temperature)
        total = total + recipe.style_weight * contrast(vectors, styles, self._styles, recipe.temperature)
        self._products.add(vectors, products)
        self._styles.add(vectors, styles)
        total = total + recipe.proxy_weight * self.proxies(vectors, products)
        recall: Tensor = self.recall(vectors, known)
        return total + recipe.recall_weight * recall + recipe.structure_weight * structure(vectors, known)


def train(crown: Crown, pool: Pool, recipe: Recipe, checkpoint: Path, save_every: int = 100) -> None:
    """Trains `crown` in place and leaves the mean of its cycles' ends in it, each a moving average of its weights.

    The first cycle ends where unseen products are told apart best, the last where trained ones are; the mean keeps most
    of both (Izmailov et al., Averaging Weights Leads to Wider Optima, UAI 2018).
    Goes on from `checkpoint` when an interrupted run of the same recipe left one.
    """
    torch.manual_seed(recipe.seed)
    sample = np.sort(np.random.default_rng(recipe.seed).permutation(len(pool.product))[:_PCA_VIEWS])
    descriptors = torch.from_numpy(np.asarray(pool.descriptor[sample], np.float32))
    mean, std = descriptors.mean(dim=0), descriptors.std(dim=0) + 1e-4
    start_as_pca(crown.projection, descriptors)
    channels_last(crown)
    task = _Task(crown, pool, recipe)
    _centre_proxies(task, pool)
    optimiser = _optimiser(task, recipe)
    average = AveragedModel(crown, avg_fn=lambda mean, new, _: mean.lerp(new, 1 - recipe.ema))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe))
    ends: list[dict[str, Tensor]] = []
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["recipe"] == repr(recipe):
            start = state["step"]
            task.load_state_dict(state["task"])
            average.load_state_dict(state["average"])
            optimiser.load_state_dict(state["optimiser"])
            schedule.load_state_dict(state["schedule"])
            ends = state["ends"]
    bar = tqdm(range(start, recipe.steps), initial=start, total=recipe.steps, desc="training", mininterval=10)
    batches = iter(Batches(pool, recipe.seed + start))
    for step in bar:
        index = next(batches)
        c4, c3 = pool.batch(index)
        products, styles = torch.from_numpy(pool.product[index]), torch.from_numpy(pool.style[index])
        known = (torch.from_numpy(np.asarray(pool.descriptor[index], np.float32)) - mean) / std
        loss = task.loss(task.crown(c4, c3), products, styles, known)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(task.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(task.crown)
        if step + 1 in recipe.ends:
            ends.append({name: value.clone() for name, value in average.module.state_dict().items()})
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
            _save(checkpoint, recipe, step + 1, task, average, optimiser, schedule, ends)
    crown.load_state_dict(mean_of(ends))
    crown.eval()


def _optimiser(task: _Task, recipe: Recipe) -> torch.optim.AdamW:
    late = [p for p in task.crown.blocks.parameters() if p.requires_grad]
    known = {id(p) for p in late}
    rest = [p for p in task.parameters() if p.requires_grad and id(p) not in known]
    groups = [{"params": late, "lr": recipe.backbone_rate}, {"params": rest, "lr": recipe.head_rate}]
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)


def _rate(step: int, recipe: Recipe) -> float:
    """In each cycle a linear warm-up, then a cosine down to a hundredth."""
    cycle = min(bisect.bisect_right(recipe.ends, step), len(recipe.cycles) - 1)
    step -= recipe.ends[cycle] - recipe.cycles[cycle]
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.cycles[cycle] - recipe.warmup)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2


def _centre_proxies(task: _Task, pool: Pool) -> None:
    """Starts every proxy at the mean of its product's views, so that rarely drawn products have sensible ones."""
    with torch.inference_mode():
        descriptors = torch.from_numpy(np.asarray(pool.descriptor, np.float32))
        vectors = nn.functional.normalize(task.crown.projection(descriptors), dim=1)
        sums = torch.zeros_like(task.proxies.centres)
        sums.index_add_(0, torch.from_numpy(pool.product), vectors)
    with torch.no_grad():
        task.proxies.centres.copy_(nn.functional.normalize(sums, dim=1))


def _save(
    path: Path,
    recipe: Recipe,
    step: int,
    task: _Task,
    average: AveragedModel,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    ends: Sequence[dict[str, Tensor]],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state: dict[str, object] = {
        "recipe": repr(recipe),
        "step": step,
        "task": task.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "ends": ends,
    }
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def mean_of(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the networks' weights; of what only counts (batches seen), the last."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if last.is_floating_point() else last
        for name, last in states[-1].items()
    }


def blended(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights between two training states: `share` of `after` (Wortsman et al., WiSE-FT, CVPR 2022)."""
    return {name: value + share * (after[name] - value) for name, value in before.items()}

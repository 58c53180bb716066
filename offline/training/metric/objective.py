"""What one network is taught: every loss that the experiment switches on, by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from offline.training.metric import losses
from offline.training.metric.batches import Batch
from offline.training.metric.config import Experiment
from offline.training.metric.network import Features

_NOISE = 0.02


class Objective(nn.Module):
    """Class centres, heads and memories, which are trained with a network and thrown away after it."""

    def __init__(self, experiment: Experiment, products: int, values: tuple[int, ...]) -> None:
        """values: how many values each attribute of `tasks` has."""
        super().__init__()
        self._how = experiment
        self._products = products
        dimension = experiment.model.dimension
        self.classifier = losses.classifier(experiment.classification, products, dimension)
        self.ranking = losses.ranking(experiment.ranking, dimension, experiment.optimisation.devices)
        self.instances = losses.instances(experiment.instance.temperature)
        self.heads = nn.ModuleList(nn.Linear(dimension, count) for count in values)
        self.trend = Trend(len(values))

    def forward(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        """The weighted losses of a training batch."""
        how = self._how
        classed = batch.product < self._products
        products = batch.product[classed]
        parts: dict[str, Tensor] = {}
        if self.classifier is not None:
            loss = self.classifier(features.vectors[classed], products)
            parts["classification"] = how.classification.weight * loss
        if self.ranking is not None:
            parts["ranking"] = how.ranking.weight * self.ranking(features.raw, batch.product)
        if how.model.cascade:
            levels = tuple(level[classed] for level in features.levels)
            parts["cascade"] = losses.cascade(levels, products)
        if how.batches.singles:
            loss = self.instances(features.raw[~classed], batch.product[~classed])
            parts["instance"] = how.instance.weight * loss
        weights = self.trend.weights if how.tasks.weighting == "trend" else torch.ones_like(self.trend.weights)
        for name, weight, loss in zip(how.tasks.attributes, weights, self.attributes(features, batch), strict=True):
            parts[f"task {name}"] = how.tasks.weight * weight * loss
        return parts

    def attributes(self, features: Features, batch: Batch) -> list[Tensor]:
        """The unweighted loss of each attribute over the pictures where it is known."""
        return [
            # The sum over the known ones is zero, not undefined, when none is.
            functional.cross_entropy(head(features.vectors), target, ignore_index=-1, reduction="sum")
            / (target >= 0).sum().clamp(min=1)
            for head, target in zip(self.heads, batch.attributes.T, strict=True)
        ]

    @torch.no_grad()
    def start_centres(self, vectors: Tensor, products: Tensor) -> None:
        """Sets every product's centres to the mean of its vectors (n, dimension), at length 1.

        Rarely drawn products have a sensible centre from the start. Sub-centres part by a little noise.
        """
        if self.classifier is None:
            return
        centres = self.classifier.W
        sums = torch.zeros(self._products, vectors.shape[1]).index_add_(0, products, functional.normalize(vectors))
        means = functional.normalize(sums).repeat_interleave(centres.shape[1] // self._products, dim=0)
        noise = torch.randn_like(means) * _NOISE if len(means) > self._products else 0
        centres.copy_((means + noise).T)

    def logits(self, features: Features, batch: Batch) -> Tensor:
        """Class scores without margins, (pictures of classes, products)."""
        result: Tensor = self.classifier.get_logits(features.vectors[batch.product < self._products])
        return result


class Trend(nn.Module):
    """Weights of tasks from how their validation losses move.

    He et al., Adaptively Weighted Multi-task Deep Network for Person Attribute Classification, ACM MM 2017: a task
    weighs more the faster its validation loss changes and the higher it still is. The main task is not among them:
    its weight stays.
    """

    weights: Tensor
    """(tasks,), with mean 1."""
    before: Tensor
    """(tasks,), the losses of the last validation; not a number before the first."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(tasks))
        self.register_buffer("before", torch.full((tasks,), torch.nan))

    def update(self, validation: Tensor) -> None:
        """validation: (tasks,), the mean losses of this validation."""
        trend = (validation - self.before).abs() / validation.clamp(min=1e-6)
        if not trend.isnan().any():
            weights = trend / trend.mean().clamp(min=1e-6) * validation / validation.mean().clamp(min=1e-6)
            self.weights.copy_(weights / weights.mean().clamp(min=1e-6))
        self.before.copy_(validation)

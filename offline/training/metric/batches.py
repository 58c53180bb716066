"""What is trained on, numbered, and which pictures stand together in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from offline.training.embedder.split import split_items
from offline.training.items import Item
from offline.training.metric import config
from offline.training.metric.pictures import squares

_Index = NDArray[np.int64]


class Batch(NamedTuple):
    """n pictures and what they show.

    pixels: uint8 (n, s, s, 4). product: (n,), classes first, then one number per single picture. attributes:
    (n, tasks), -1 where unknown. photo: (n,) bool, the domain. query: (n,) bool, to be shown as a phone sees it.
    number: which batch of the run it is, ().
    """

    pixels: Tensor
    product: Tensor
    attributes: Tensor
    photo: Tensor
    query: Tensor
    number: Tensor


@dataclass(frozen=True)
class Corpus:
    """The items of one experiment."""

    train: tuple[Item, ...]
    singles: tuple[Item, ...]
    """Items without a product, each one of its own."""
    validation: tuple[Item, ...]
    """Pictures of trained products that are kept from training."""
    known: tuple[Item, ...]
    """All items of products that are not held out."""
    held_out: tuple[Item, ...]
    products: tuple[str, ...]
    """The trained ones, in the order of their class numbers."""
    tasks: dict[str, tuple[str, ...]]
    """The values of every attribute that is learnt."""

    def labels(self, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
        """product (n,) and attributes (n, tasks) of items, -1 for what is not trained on or unknown."""
        number = {name: i for i, name in enumerate(self.products)}
        tables = {task: {value: i for i, value in enumerate(values)} for task, values in self.tasks.items()}
        attributes = [[table.get(attribute(i, task) or "", -1) for task, table in tables.items()] for i in items]
        return (
            torch.tensor([number.get(item.product_id or "", -1) for item in items]),
            torch.tensor(attributes, dtype=torch.int64).reshape(len(items), len(tables)),
        )


def attribute(item: Item, name: str) -> str | None:
    """style, category, label, role or dataset of an item, or what its row says of `name`; None when it is unknown."""
    own = {"style": item.style_id, "category": item.category, "label": item.label, "role": item.role}
    return {**own, "dataset": item.dataset}.get(name) or item.attributes.get(name)


def corpus(items: Sequence[Item], experiment: config.Experiment) -> Corpus:
    """Splits the items as the experiment says. Raises ExperimentError when nothing is left to train on."""
    data = experiment.data
    split = split_items(items, data.split_seed, data.held_out)
    products = [item for item in split.train if item.product_id is not None]
    order = np.random.default_rng([data.split_seed, 1]).permutation(len(products))
    kept = {int(i) for i in order[round(len(order) * data.validation) :]}
    train = tuple(item for i, item in enumerate(products) if i in kept)
    names = tuple(sorted({str(item.product_id) for item in train}))
    if not names:
        msg = "no products to train on"
        raise config.ExperimentError(msg)
    known = frozenset(names)
    apart = [item for i, item in enumerate(products) if i not in kept]
    validation = tuple(item for item in (*apart, *split.validation) if item.product_id in known)
    tasks = {
        task: tuple(sorted({value for item in train if (value := attribute(item, task))}))
        for task in experiment.tasks.attributes
    }
    if empty := [task for task, values in tasks.items() if not values]:
        msg = f"no item has the attribute {empty[0]}"
        raise config.ExperimentError(msg)
    return Corpus(
        train=train,
        singles=tuple(item for item in split.train if item.product_id is None),
        validation=validation,
        known=(*products, *split.validation),
        held_out=split.held_out,
        products=names,
        tasks=tasks,
    )


class TrainingBatches(Dataset[Batch]):
    """Batch n of a run, whoever asks for it and after whatever interruption: it depends on seed and n alone."""

    def __init__(self, data: Corpus, experiment: config.Experiment, rank: int = 0) -> None:
        self._items = (*data.train, *data.singles)
        self._experiment = experiment
        self._rank = rank
        product, self._attributes = data.labels(self._items)
        singles = torch.arange(len(self._items)) >= len(data.train)
        numbers = len(data.products) + torch.arange(len(self._items)) - len(data.train)
        self._product = torch.where(singles, numbers, product)
        self._photo = torch.tensor([item.role == "photo" for item in self._items])
        self._singles = np.arange(len(data.train), len(self._items))
        self._views = {p: np.nonzero((self._product == p).numpy())[0] for p in range(len(data.products))}
        sets = [self._items[int(views[0])].dataset for views in self._views.values()]
        self._sets = [np.array([p for p, own in enumerate(sets) if own == name]) for name in sorted(set(sets))]

    def __len__(self) -> int:
        optimisation = self._experiment.optimisation
        return optimisation.steps * optimisation.accumulate

    def __getitem__(self, number: int) -> Batch:
        how = self._experiment.batches
        rng = np.random.default_rng([self._experiment.seed, number, self._rank])
        index = [view for product in self._products(rng) for view in self._pick(int(product), rng)]
        singles = rng.choice(self._singles, min(how.singles, len(self._singles)), replace=False)
        index += [int(i) for i in np.repeat(singles, 2)]
        # Views and pairs alternate: one as the shop shows it, one as a phone sees it.
        query = torch.arange(len(index)) % 2 == 1
        chosen = torch.tensor(index)
        simulated = query & (self._experiment.augmentation.phone > 0)
        return Batch(
            pixels=squares([self._items[i] for i in index], self._experiment.data.size),
            product=self._product[chosen],
            attributes=self._attributes[chosen],
            photo=self._photo[chosen] | simulated,
            query=query,
            number=torch.tensor(number),
        )

    def _products(self, rng: np.random.Generator) -> _Index:
        how = self._experiment.batches
        if how.balance == "none":
            return rng.choice(len(self._views), min(how.products, len(self._views)), replace=False)
        order = rng.permutation(len(self._sets))
        shares = [len(part) for part in np.array_split(np.arange(how.products), len(order))]
        drawn = [
            rng.choice(self._sets[s], min(share, len(self._sets[s])), replace=False)
            for s, share in zip(order, shares, strict=True)
        ]
        return np.concatenate(drawn)

    def _pick(self, product: int, rng: np.random.Generator) -> list[int]:
        """Alternately for the shop's side and the query's, each picture as rarely as there are pictures to choose."""
        views, how = self._views[product], self._experiment.batches
        sides = [views, views]
        if how.balance == "domain":
            photo = self._photo[views].numpy()
            sides = [side if len(side) else views for side in (views[~photo], views[photo])]
        elif len(views) >= how.views:
            return [int(i) for i in rng.permutation(views)[: how.views]]
        halves = [np.resize(rng.permutation(side), how.views // 2) for side in sides]
        return [int(i) for i in np.stack(halves, axis=1).ravel()]


class ValidationBatches(Dataset[Batch]):
    """The pictures that were kept for validation, in order."""

    def __init__(self, data: Corpus, experiment: config.Experiment, size: int = 64) -> None:
        self._parts = [data.validation[i : i + size] for i in range(0, len(data.validation), size)]
        self._data = data
        self._experiment = experiment

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: int) -> Batch:
        items = self._parts[number]
        product, attributes = self._data.labels(items)
        photo = torch.tensor([item.role == "photo" for item in items])
        pixels = squares(items, self._experiment.data.size)
        return Batch(pixels, product, attributes, photo, torch.zeros_like(photo), torch.tensor(number))

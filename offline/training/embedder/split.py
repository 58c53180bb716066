"""Which products the embedder is trained on, and which it never sees, as pure functions of a seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from offline.training.items import Item

SEED: Final = 8
DATASETS: Final = ("grocery", "magento", "ycb", "caltech101", "clothing")
"""The sets that the embedder learns from; emoji pictures are for measuring only."""

HELD_OUT_SHARE: Final = {"grocery": 0.3, "magento": 0.25, "ycb": 0.25}
"""Of each set's products."""


@dataclass(frozen=True, slots=True)
class Split:
    """Items of trained products, photos kept from training for validation, and items of products never trained on."""

    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    """Photos of trained grocery classes that the source itself set apart."""
    held_out: tuple[Item, ...]


def split_items(items: Iterable[Item], seed: int = SEED, shares: Mapping[str, float] = HELD_OUT_SHARE) -> Split:
    """Holds out a share of the products of every set in `shares`.

    Whole styles go, so that no sibling of a held-out product was trained on. Sets without product ids have nothing to
    hold out: every picture there is its own product.
    """
    items = tuple(items)
    gone = {style for dataset, share in shares.items() for style in held_out_styles(items, dataset, share, seed)}
    train, validation, held_out = [], [], []
    for item in items:
        if item.style_id in gone:
            held_out.append(item)
        elif item.dataset == "grocery" and item.split == "val":
            validation.append(item)
        else:
            train.append(item)
    return Split(tuple(train), tuple(validation), tuple(held_out))


def held_out_styles(items: Iterable[Item], dataset: str, share: float, seed: int = SEED) -> frozenset[str]:
    """Styles of `dataset` to hold out: drawn in random order until their products make up the set's share."""
    products: dict[str, set[str]] = {}
    for item in items:
        if item.dataset == dataset and item.style_id is not None and item.product_id is not None:
            products.setdefault(item.style_id, set()).add(item.product_id)
    wanted = share * sum(map(len, products.values()))
    gone: set[str] = set()
    count = 0
    for style in np.random.default_rng(seed).permutation(sorted(products)):
        if count >= wanted:
            break
        gone.add(str(style))
        count += len(products[str(style)])
    return frozenset(gone)

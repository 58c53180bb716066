"""A folder described by `items.jsonl` as a catalogue and the photos to scan against it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from offline.training.embedder.split import split_items
from offline.training.items import Item, load_items

Scope = Literal["all", "held-out", "held-out-among-all"]
"""held-out: products that the released embedder was never trained on. held-out-among-all: queries of these, against the
pictures of all products."""

_SEED = 20261124


class DatasetError(ValueError):
    """The folder holds nothing to scan, or nothing to scan it against."""


@dataclass(frozen=True)
class Dataset:
    """gallery: merchants' pictures of products. queries: pictures of these products that are not in the gallery."""

    name: str
    gallery: tuple[Item, ...]
    queries: tuple[Item, ...]

    def absent_products(self, share: float) -> frozenset[str]:
        """A fixed random share of the queried products, to be taken out of the catalogue."""
        products = sorted({item.product_id for item in self.queries if item.product_id})
        count = round(len(products) * share)
        return frozenset(np.random.default_rng(_SEED).permutation(products)[:count].tolist())


def read_dataset(folder: Path, limit: int | None = None, *, scope: Scope = "all") -> Dataset:
    """Splits a folder's rows with a product_id.

    Rows of split "gallery" are the gallery and those of "query" the queries. Where there are no "query" rows, the
    users' photos outside the gallery are: of split "val" if there are any. Where there is no gallery either, one
    picture of each product that has several is the query, and the others are the gallery.
    limit: so many queries at most, drawn with a fixed seed. scope: which products; of held-out ones all photos are
    queries, since none of them was trained on.
    """
    items = [item for item in load_items(folder.parent, [folder.name]) if item.product_id is not None]
    held_out = frozenset(item.path for item in split_items(items).held_out) if scope != "all" else frozenset()
    if scope == "held-out":
        items = [item for item in items if item.path in held_out]
    gallery = [item for item in items if item.split == "gallery"]
    queries = [item for item in items if item.split == "query"]
    if gallery and scope != "all":
        queries = [item for item in items if item.role == "photo" and item.path in held_out]
    elif gallery and not queries:
        photos = [item for item in items if item.role == "photo" and item.split != "gallery"]
        queries = [item for item in photos if item.split == "val"] or photos
    if not gallery:
        gallery, queries = _one_out(items)
        queries = [item for item in queries if scope == "all" or item.path in held_out]
    stocked = {item.product_id for item in gallery}
    queries = [item for item in queries if item.product_id in stocked]
    if not queries:
        msg = f"{folder} has no product with both a gallery picture and a picture to scan"
        raise DatasetError(msg)
    if limit is not None and limit < len(queries):
        chosen = np.random.default_rng(_SEED).permutation(len(queries))[:limit]
        queries = [queries[i] for i in sorted(chosen)]
    return Dataset(folder.name, tuple(gallery), tuple(queries))


def _one_out(items: list[Item]) -> tuple[list[Item], list[Item]]:
    by_product: dict[str, list[Item]] = {}
    for item in items:
        by_product.setdefault(str(item.product_id), []).append(item)
    random = np.random.default_rng(_SEED)
    gallery: list[Item] = []
    queries: list[Item] = []
    for product in sorted(by_product):
        pictures = by_product[product]
        out = int(random.integers(len(pictures))) if len(pictures) > 1 else -1
        queries += pictures[out : out + 1] if out >= 0 else []
        gallery += [item for i, item in enumerate(pictures) if i != out]
    return gallery, queries

"""What an embedding is worth on products that it was never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from offline.training.embedder.retrieval import Labels, Report, Vectors, leave_one_out, retrieve
from offline.training.items import Item
from offline.training.metric.batches import Corpus
from offline.training.metric.network import Network
from offline.training.metric.pictures import centred, on_white, squares

_BATCH = 64


@dataclass(frozen=True)
class Probe:
    """Queries against a gallery, or against each other where there is none."""

    queries: tuple[Item, ...]
    gallery: tuple[Item, ...]


def probes(data: Corpus) -> dict[str, Probe]:
    """By name, for every set with held-out products.

    A set of photos and merchants' pictures: photos of held-out products against merchants' pictures of these ("NAME"),
    and of the trained ones too ("NAME among trained"). Any other set: leave one out.
    """
    found: dict[str, Probe] = {}
    for name in sorted({item.dataset for item in data.held_out}):
        held = tuple(item for item in data.held_out if item.dataset == name and item.product_id is not None)
        photos = tuple(item for item in held if item.role == "photo")
        shop = tuple(item for item in held if item.role != "photo")
        if photos and shop:
            trained = tuple(item for item in data.known if item.dataset == name and item.role != "photo")
            found[name] = Probe(photos, shop)
            found[f"{name} among trained"] = Probe(photos, (*shop, *trained))
        else:
            found[name] = Probe(held, ())
    return found


def measure(network: Network, data: Corpus, size: int) -> dict[str, Report]:
    """Recall and mAP of every probe; photos and merchants' pictures are known for what they are."""
    made = probes(data)
    items = list(dict.fromkeys(item for probe in made.values() for item in (*probe.queries, *probe.gallery)))
    vectors = dict(zip(items, embed(network, items, size), strict=True))

    def of(chosen: Sequence[Item]) -> tuple[Vectors, Labels]:
        return np.stack([vectors[item] for item in chosen]), np.array([item.product_id for item in chosen], np.str_)

    return {
        name: retrieve(*of(probe.queries), *of(probe.gallery)) if probe.gallery else leave_one_out(*of(probe.queries))
        for name, probe in made.items()
    }


def embed(network: Network, items: Sequence[Item], size: int) -> Vectors:
    """Unit vectors (n, dimension) of the items' clean views."""
    network.eval()
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(items), _BATCH):
            chosen = items[start : start + _BATCH]
            photo = torch.tensor([item.role == "photo" for item in chosen], device=device)
            images = centred(on_white(squares(chosen, size).to(device)))
            parts.append(functional.normalize(network(images, photo).vectors.float(), dim=1).cpu())
    return np.asarray(torch.cat(parts).numpy(), np.float32)

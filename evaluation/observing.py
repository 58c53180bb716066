"""What tuning and its curves look at: pictures as a scan sees them, and the catalogue's pictures nearest to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from evaluation.stages import Stages
from offline.training.embedder.split import DATASETS, Split, split_items
from offline.training.items import Item, load_items
from services.classifier.voting import Neighbour
from shiwu.inference.manifest import DomainMeans

_CANDIDATES: Final = 100
_PER_LABEL: Final = 40
_BANK_PER_LABEL: Final = 20
_SEED: Final = 7

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Shown:
    """A picture as a scan sees it. detector: category and score of its main object; vector: of its crop."""

    item: Item
    detector: Sequence[tuple[str, float]]
    vector: NDArray[np.float32]


@dataclass(frozen=True)
class Observation:
    """A photo of known category or product, and the catalogue's pictures nearest to it, nearest first.

    source: the set that the photo is of. detector: category and score. gallery: the vectors of the whole catalogue,
    (m, dimension); rows: those of the neighbours in it, (n,). own_row: the photo's own, where it is a picture of the
    catalogue itself and was left out. present: whether its product was in the catalogue.
    """

    source: str
    category: str
    product: str | None
    detector: Sequence[tuple[str, float]]
    vector: NDArray[np.float32]
    neighbours: Sequence[Neighbour]
    products: Sequence[str]
    gallery: Vectors
    rows: NDArray[np.intp]
    own_row: int | None = None
    present: bool = True

    @property
    def vectors(self) -> Vectors:
        """Of the neighbours, (n, dimension)."""
        return self.gallery[self.rows]


@dataclass(frozen=True)
class Catalogue:
    """Pictures of the catalogue and their vectors, (n, dimension)."""

    name: str
    items: Sequence[Item]
    vectors: Vectors

    @classmethod
    def of(cls, name: str, shown: Sequence[Shown]) -> Catalogue:
        """Of pictures that were seen."""
        return cls(name, [each.item for each in shown], np.stack([each.vector for each in shown]))

    def stocks(self, item: Item) -> bool:
        """Whether there is another picture of the item's product."""
        return any(each.product_id == item.product_id and each.path != item.path for each in self.items)

    def nearest(self, shown: Shown, *, present: bool = True) -> Observation:
        """The nearest pictures, without the photo itself and, if it shall not be present, without its product."""
        similarities = self.vectors @ shown.vector
        gone = None if present else shown.item.product_id
        own = next((i for i, item in enumerate(self.items) if item.path == shown.item.path), None)
        rows = [
            int(i)
            for i in np.argsort(-similarities, kind="stable")
            if i != own and (gone is None or self.items[i].product_id != gone)
        ][:_CANDIDATES]
        return Observation(
            source=f"{shown.item.dataset} among {self.name}",
            category=str(shown.item.category),
            product=shown.item.product_id,
            detector=shown.detector,
            vector=shown.vector,
            neighbours=[
                Neighbour(str(self.items[i].path), str(self.items[i].category), float(np.clip(similarities[i], -1, 1)))
                for i in rows
            ],
            products=[self.items[i].product_id or str(self.items[i].path) for i in rows],
            gallery=self.vectors,
            rows=np.array(rows, np.intp),
            own_row=own,
            present=present,
        )


@dataclass(frozen=True)
class Scans:
    """Photos of one set scanned against one catalogue, each with its product in it and with that taken out."""

    present: Sequence[Observation]
    absent: Sequence[Observation]


@dataclass(frozen=True)
class World:
    """All that is looked at.

    votes: validation photos of every category among all pictures, without those of their own product. tuned_on: the
    sets of photos by name that re-ranking and acceptance are fitted to; unseen: those of other products, which nothing
    was fitted to. bank: vectors of training photos, (m, dimension), none of which is measured.
    """

    votes: Sequence[Observation]
    tuned_on: Mapping[str, Scans]
    unseen: Mapping[str, Scans]
    bank: Vectors
    means: DomainMeans


async def observe(data: Path, stages: Stages) -> World:
    """Looks at everything in the folder of the image sets."""
    split = split_items(load_items(data, DATASETS))
    everything = [item for item in (*split.train, *split.validation, *split.held_out) if item.category]
    merchants = [item for item in everything if item.role == "merchant"]
    stock = merchants + _thinned([item for item in split.train if item.category and item.role in ("photo", "render")])
    shown = await _seen(stages, stock, "catalogue")
    pictures = [each for each in shown if each.item.role == "merchant"]
    photos = [each for each in shown if each.item.role == "photo"]
    every = Catalogue.of("all pictures", shown)
    val = [item for item in everything if item.split == "val" and item.role in ("photo", "merchant", "render")]
    votes = [every.nearest(each, present=False) for each in await _seen(stages, _thinned(val), "validation")]

    known = await _seen(stages, [item for item in split.validation if item.role == "photo"], "photos of known products")
    known += [each for each in pictures if each.item in set(split.train) and each.item.dataset == "magento"]
    unknown = await _seen(stages, [i for i in split.held_out if i.role != "photo"], "held-out catalogue")
    strange = await _seen(stages, [i for i in split.held_out if i.role == "photo"], "held-out photos")
    strange += [each for each in unknown if each.item.dataset != "grocery"]
    tuned_on, unseen = _sides(split, strange)
    shop = Catalogue.of("unknown products", unknown)
    mixed = Catalogue.of("all merchants' pictures", pictures)
    return World(
        votes=votes,
        tuned_on=_scans(shop, tuned_on) | _scans(mixed, tuned_on) | _scans(mixed, known, "known "),
        unseen=_scans(shop, unseen) | _scans(mixed, unseen),
        bank=np.stack([each.vector for each in _thinned_shown(photos, _BANK_PER_LABEL)]),
        means=DomainMeans(
            photo=_mean([each for each in photos if each.item.dataset == "grocery"]), merchant=_mean(pictures)
        ),
    )


def tuning_products(held_out: Sequence[Item]) -> frozenset[str]:
    """Every second held-out product, by style, so that no style is on both sides."""
    styles = sorted({item.style_id for item in held_out if item.style_id})
    chosen = set(np.random.default_rng(_SEED).permutation(styles)[::2].tolist())
    return frozenset(str(item.product_id) for item in held_out if item.style_id in chosen)


def _sides(split: Split, shown: Sequence[Shown]) -> tuple[list[Shown], list[Shown]]:
    products = tuning_products(split.held_out)
    return (
        [each for each in shown if each.item.product_id in products],
        [each for each in shown if each.item.product_id not in products],
    )


def _scans(catalogue: Catalogue, shown: Sequence[Shown], prefix: str = "") -> dict[str, Scans]:
    """By set; only photos of products that the catalogue stocks."""
    stocked = [each for each in shown if each.item.product_id and catalogue.stocks(each.item)]
    names = dict.fromkeys(each.item.dataset for each in stocked)
    return {
        f"{prefix}{name} among {catalogue.name}": Scans(
            [catalogue.nearest(each) for each in stocked if each.item.dataset == name],
            [catalogue.nearest(each, present=False) for each in stocked if each.item.dataset == name],
        )
        for name in names
    }


def _thinned(items: Sequence[Item], per_label: int = _PER_LABEL) -> list[Item]:
    """At most `per_label` pictures of each label, drawn with a fixed seed."""
    by_label: dict[tuple[str, str | None], list[Item]] = {}
    for i in np.random.default_rng(_SEED).permutation(len(items)):
        by_label.setdefault((items[i].dataset, items[i].label), []).append(items[i])
    return [item for group in by_label.values() for item in group[:per_label]]


def _thinned_shown(shown: Sequence[Shown], per_label: int) -> list[Shown]:
    kept = {item.path for item in _thinned([each.item for each in shown], per_label)}
    return [each for each in shown if each.item.path in kept]


async def _seen(stages: Stages, items: Sequence[Item], what: str) -> list[Shown]:
    shown = []
    for item in tqdm(items, what, unit="picture"):
        view = await stages.see(item.path.read_bytes())
        shown.append(Shown(item, view.categories, view.vector))
    return shown


def _mean(shown: Sequence[Shown]) -> tuple[float, ...]:
    mean = np.mean([each.vector for each in shown], axis=0)
    return tuple(round(float(value), 6) for value in mean)

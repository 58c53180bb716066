"""Photos as scans see them, and the catalogue's pictures nearest to them: what tuning and its curves look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.looking import compared
from evaluation.photo_sets import entry_of
from evaluation.region_fitting import pick
from evaluation.stages import Look
from offline.training.items import Item
from services.classifier.voting import Neighbour
from shiwu.inference.tuning import DomainMeans, RegionRule
from shiwu.vision.agreement import Agreement, compare_all
from shiwu.vision.local_features import LocalFeatures

_CANDIDATES: Final = 100
COMPARED: Final = 40
"""Nearest pictures whose local features are compared with the photo's."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Shown:
    """A picture as a scan sees it. detector: category and score of its main object; vector: of its crop."""

    item: Item
    detector: Sequence[tuple[str, float]]
    vector: NDArray[np.float32]
    stocked: NDArray[np.float32]
    """Its vector in a catalogue: merchants' pictures are cropped in another way than photos."""
    local_features: Sequence[LocalFeatures] = ()
    """Of the crop, or of each part that a scan may search for."""
    stocked_features: LocalFeatures | None = None
    """In a catalogue."""
    look: Look | None = None
    """All parts of it that a scan may search for; the vector is that of the first."""


@dataclass(frozen=True)
class Observation:
    """A photo of known category or product, and the catalogue's pictures nearest to it, nearest first.

    source: the set that the photo is of. detector: category and score. gallery: the vectors of the whole catalogue,
    (m, dimension); rows: those of the neighbours in it, (n,). own_row: the photo's own, where it is a picture of the
    catalogue itself and was left out. present: whether its product was in the catalogue. styles: of the neighbours, and
    of the photo's product. agreements: what the photo and the first neighbours have in common.
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
    style: str | None = None
    styles: Sequence[str] = ()
    agreements: Sequence[Agreement] = ()

    @property
    def vectors(self) -> Vectors:
        """Of the neighbours, (n, dimension)."""
        return self.gallery[self.rows]


@dataclass(frozen=True)
class Catalogue:
    """Pictures of the catalogue and their vectors, (n, dimension). regions: how scans choose what they search for."""

    name: str
    items: Sequence[Item]
    vectors: Vectors
    rows: Mapping[Path, int]
    products: NDArray[np.str_]
    """A product's id, or the picture's own path; shape (n,)."""
    styles: Sequence[str]
    """What their designs are known by."""
    local_features: Sequence[LocalFeatures | None]
    regions: RegionRule | None = None

    @classmethod
    def of(cls, name: str, shown: Sequence[Shown], regions: RegionRule | None = None) -> Catalogue:
        """Of pictures that were seen."""
        items = [each.item for each in shown]
        return cls(
            name,
            items,
            np.stack([each.stocked for each in shown]),
            {item.path: row for row, item in enumerate(items)},
            np.array([item.product_id or str(item.path) for item in items]),
            [item.style_id or item.product_id or str(item.path) for item in items],
            [each.stocked_features for each in shown],
            regions,
        )

    def stocks(self, item: Item) -> bool:
        """Whether there is another picture of the item's product."""
        return int((self.products == item.product_id).sum()) > (item.path in self.rows)

    def nearest(self, shown: Shown, *, present: bool = True) -> Observation:
        """The nearest pictures, without the photo itself and, if it shall not be present, without its product."""
        own = self.rows.get(shown.item.path)
        kept = np.ones(len(self.items), bool)
        if own is not None:
            kept[own] = False
        if not present and shown.item.product_id is not None:
            kept &= self.products != shown.item.product_id
        parts = self._searched(shown, kept)
        vectors = shown.look.vectors[parts] if shown.look else shown.vector[None]
        similarities = (self.vectors @ vectors.T).max(axis=1)
        order = np.argsort(-similarities, kind="stable")
        rows = order[kept[order]][:_CANDIDATES]
        return Observation(
            source=f"{shown.item.dataset} among {self.name}",
            category=str(shown.item.category),
            product=shown.item.product_id,
            detector=shown.detector,
            vector=vectors[0],
            neighbours=[
                Neighbour(str(self.items[i].path), str(self.items[i].category), float(np.clip(similarities[i], -1, 1)))
                for i in rows.tolist()
            ],
            products=self.products[rows].tolist(),
            gallery=self.vectors,
            rows=rows,
            own_row=own,
            present=present,
            style=shown.item.style_id or shown.item.product_id,
            styles=[self.styles[i] for i in rows.tolist()],
            agreements=self._agreements(shown, parts[0], rows[:COMPARED].tolist()),
        )

    def _agreements(self, shown: Shown, part: int, rows: Sequence[int]) -> list[Agreement]:
        if not shown.local_features:
            return [Agreement()] * len(rows)
        pictures = [self.local_features[row] for row in rows]
        found = iter(compare_all(shown.local_features[part], [each for each in pictures if each is not None]))
        return [Agreement() if each is None else next(found) for each in pictures]

    def _searched(self, shown: Shown, kept: NDArray[np.bool_]) -> list[int]:
        """Which part of the photo a scan chooses among the pictures that are `kept`, as `Look.compared` has it."""
        if self.regions is None or shown.look is None:
            return [0]
        stock = [entry_of(self.items[i]) for i in np.flatnonzero(kept).tolist()]
        looked = compared(self.name, entry_of(shown.item), shown.look, stock, self.vectors[kept])
        return shown.look.compared(pick(looked, self.regions) or 0)


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
    regions: RegionRule | None
    """By which scans chose what they searched for."""

"""What a search for each part of a photo finds, with the services' own code and an exact index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from evaluation.photo_sets import Entry, PhotoSet
from evaluation.stages import Look, Stages, read
from services.gateway.ports import Hit
from services.gateway.regions import Region
from shiwu.inference.tuning import RegionKind

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class ExactHit:
    """A catalogue's picture, found by comparing with all."""

    image_id: str
    product_id: str
    style_id: str
    category: str
    similarity: float
    vector: bytes = b""


@dataclass(frozen=True)
class Looked:
    """A photo, its regions (the one looked at first at the front), and what was found for each of them."""

    source: str
    query: Entry
    regions: Sequence[Region]
    hits: Sequence[Sequence[Hit]]
    """Of every region the nearest pictures of its two nearest products: what signs are read from."""
    similarities: NDArray[np.float32]
    """(regions, products): cosine of each product's nearest picture."""
    products: NDArray[np.str_]
    """(products,), the catalogue's."""

    def rank(self, similarities: NDArray[np.float32]) -> int:
        """The right product's, from 1, among products with these similarities."""
        [own] = similarities[self.products == self.query.product]
        return int((similarities > own).sum()) + 1

    def place(self, kind: RegionKind) -> int | None:
        """Which of the regions is of that kind; None if none is."""
        return next((i for i, region in enumerate(self.regions) if region.kind == kind), None)


class Looker:
    """Looks at pictures, at each once."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._stocked: dict[str, NDArray[np.float32]] = {}
        self._looks: dict[str, Look] = {}

    async def look(self, photos: PhotoSet) -> list[Looked]:
        """All photos of the set whose product is in the catalogue; a photo itself is not."""
        gallery = np.stack([await self._stock(each) for each in tqdm(photos.gallery, f"{photos.name}: catalogue")])
        seen = []
        for query in tqdm(photos.queries, photos.name):
            if query.name not in self._looks:
                self._looks[query.name] = await self._stages.look(read(query.read()))
            kept = [i for i, each in enumerate(photos.gallery) if each.name != query.name]
            entries = [photos.gallery[i] for i in kept]
            if any(each.product == query.product for each in entries):
                seen.append(compared(photos.name, query, self._looks[query.name], entries, gallery[kept]))
        return seen

    async def _stock(self, entry: Entry) -> NDArray[np.float32]:
        if entry.name not in self._stocked:
            self._stocked[entry.name] = (await self._stages.stock(entry.read(), entry.category)).vector
        return self._stocked[entry.name]


def compared(source: str, query: Entry, look: Look, entries: Sequence[Entry], gallery: Vectors) -> Looked:
    """gallery: the entries' vectors, (n, dimension)."""
    names, of = np.unique([each.product for each in entries], return_inverse=True)
    pictures = look.vectors @ gallery.T
    best = np.full((len(look.regions), len(names)), -np.inf, np.float32)
    for part, row in enumerate(best):
        np.maximum.at(row, of, pictures[look.compared(part)].max(axis=0))
    hits = [_two_best(names, row) for row in best]
    return Looked(source, query, look.regions, hits, best, names)


def _two_best(names: NDArray[np.str_], similarities: NDArray[np.float32]) -> list[Hit]:
    order = np.argsort(-similarities, kind="stable")[:2]
    return [ExactHit(str(names[i]), str(names[i]), "", "", float(similarities[i])) for i in order]


def by_source(looked: Iterable[Looked]) -> Mapping[str, list[Looked]]:
    """The photos of each set."""
    sets: dict[str, list[Looked]] = {}
    for each in looked:
        sets.setdefault(each.source, []).append(each)
    return sets

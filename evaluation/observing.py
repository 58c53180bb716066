"""What tuning and its curves look at: pictures as a scan sees them, and the catalogue's pictures nearest to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from evaluation.looking import compared
from evaluation.photo_sets import entry_of, every_second_style
from evaluation.region_fitting import pick
from evaluation.stages import Look, Stages, Stocked, read
from offline.training.embedder.split import DATASETS, Split, split_items
from offline.training.items import Item, load_items
from services.classifier.voting import Neighbour
from shiwu.inference.tuning import DomainMeans, RegionRule
from shiwu.vision.local_features import Agreement, LocalFeatures, compare

_CANDIDATES: Final = 100
COMPARED: Final = 20
"""Nearest pictures whose local features are compared with the photo's."""
_PER_LABEL: Final = 40
_SEED: Final = 7

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
        part = self._searched(shown, kept)
        vector = shown.look.vectors[part] if shown.look else shown.vector
        similarities = self.vectors @ vector
        order = np.argsort(-similarities, kind="stable")
        rows = order[kept[order]][:_CANDIDATES]
        return Observation(
            source=f"{shown.item.dataset} among {self.name}",
            category=str(shown.item.category),
            product=shown.item.product_id,
            detector=shown.detector,
            vector=vector,
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
            agreements=self._agreements(shown, part, rows[:COMPARED].tolist()),
        )

    def _agreements(self, shown: Shown, part: int, rows: Sequence[int]) -> list[Agreement]:
        if not shown.local_features:
            return [Agreement()] * len(rows)
        pictures = [self.local_features[row] for row in rows]
        own = shown.local_features[part]
        return [Agreement() if each is None else compare(own, each) for each in pictures]

    def _searched(self, shown: Shown, kept: NDArray[np.bool_]) -> int:
        """Which part of the photo a scan chooses among the pictures that are `kept`."""
        if self.regions is None or shown.look is None:
            return 0
        stock = [entry_of(self.items[i]) for i in np.flatnonzero(kept).tolist()]
        looked = compared(self.name, entry_of(shown.item), shown.look, stock, self.vectors[kept])
        return pick(looked, self.regions) or 0


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


async def observe(data: Path, stages: Stages, regions: RegionRule | None) -> World:
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

    familiar = [item for item in split.validation if item.role == "photo"]
    known = await _looked_at(stages, familiar, "photos of known products")
    trained = {item.path for item in split.train}
    known += [each for each in pictures if each.item.path in trained and each.item.dataset == "magento"]
    unknown = await _seen(stages, [i for i in split.held_out if i.role != "photo"], "held-out catalogue")
    strange = await _looked_at(stages, [i for i in split.held_out if i.role == "photo"], "held-out photos")
    strange += [each for each in unknown if each.item.dataset != "grocery"]
    tuned_on, unseen = _sides(split, strange)
    shop = Catalogue.of("unknown products", unknown, regions)
    mixed = Catalogue.of("all merchants' pictures", pictures, regions)
    return World(
        votes=votes,
        tuned_on=_scans(shop, tuned_on) | _scans(mixed, tuned_on) | _scans(mixed, known, "known "),
        unseen=_scans(shop, unseen) | _scans(mixed, unseen),
        bank=np.stack([each.vector for each in photos]),
        means=DomainMeans(
            photo=_mean([each for each in photos if each.item.dataset == "grocery"]), merchant=_mean(pictures)
        ),
        regions=regions,
    )


def tuning_products(held_out: Sequence[Item]) -> frozenset[str]:
    """Every second held-out product, by style, so that no style is on both sides."""
    chosen = every_second_style(held_out)
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


def _thinned(items: Sequence[Item]) -> list[Item]:
    """At most `_PER_LABEL` pictures of each label, drawn with a fixed seed."""
    by_label: dict[tuple[str, str | None], list[Item]] = {}
    for i in np.random.default_rng(_SEED).permutation(len(items)):
        by_label.setdefault((items[i].dataset, items[i].label), []).append(items[i])
    return [item for group in by_label.values() for item in group[:_PER_LABEL]]


async def _seen(stages: Stages, items: Sequence[Item], what: str) -> list[Shown]:
    shown = []
    for item in tqdm(items, what, unit="picture"):
        data = item.path.read_bytes()
        view = await stages.see(data)
        own = Stocked(view.vector, view.local_features)
        stocked = own if item.role == "photo" else await stages.stock(data, item.category)
        features = ([view.local_features], stocked.local_features)
        shown.append(Shown(item, view.categories, view.vector, stocked.vector, *features))
    return shown


async def _looked_at(stages: Stages, items: Sequence[Item], what: str) -> list[Shown]:
    shown = []
    for item in tqdm(items, what, unit="picture"):
        picture = read(item.path.read_bytes())
        look = await stages.look(picture)
        found = look.regions[0].found
        features = [stages.describe(picture, region.box) for region in look.regions]
        categories = found.categories if found else ()
        shown.append(Shown(item, categories, look.vectors[0], look.vectors[0], features, look=look))
    return shown


def _mean(shown: Sequence[Shown]) -> tuple[float, ...]:
    mean = np.mean([each.vector for each in shown], axis=0)
    return tuple(round(float(value), 6) for value in mean)

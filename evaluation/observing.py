"""Looking at all pictures that an embedder is tuned on, and at those that it is shown on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from evaluation.observations import Catalogue, Scans, Shown, World
from evaluation.photo_sets import Entry, PhotoSet, every_second_style, tuning_covers
from evaluation.stages import Stages, Stocked, read
from offline.training.embedder.split import DATASETS, Split, split_items
from offline.training.items import Item, load_items
from shiwu.inference.tuning import DomainMeans, RegionRule

_PER_LABEL: Final = 40
_SEED: Final = 7


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
    printed, shots = await _covers(stages, tuning_covers(data))
    shop = Catalogue.of("unknown products", unknown, regions)
    mixed = Catalogue.of("all merchants' pictures", pictures, regions)
    return World(
        votes=votes,
        tuned_on=_scans(shop, tuned_on)
        | _scans(mixed, tuned_on)
        | _scans(mixed, known, "known ")
        | _scans(Catalogue.of("themselves", printed, regions), shots),
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
    return [await _see(stages, each, each.path.read_bytes()) for each in tqdm(items, what, unit="picture")]


async def _see(stages: Stages, item: Item, data: bytes) -> Shown:
    view = await stages.see(data)
    own = Stocked(view.vector, view.local_features)
    stocked = own if item.role == "photo" else await stages.stock(data, item.category)
    features = ([view.local_features], stocked.local_features)
    return Shown(item, view.categories, view.vector, stocked.vector, *features)


async def _looked_at(stages: Stages, items: Sequence[Item], what: str) -> list[Shown]:
    return [await _look_at(stages, each, each.path.read_bytes()) for each in tqdm(items, what, unit="picture")]


async def _look_at(stages: Stages, item: Item, data: bytes) -> Shown:
    picture = read(data)
    look = await stages.look(picture)
    found = look.regions[0].found
    features = [stages.describe(picture, region.box) for region in look.regions]
    return Shown(item, found.categories if found else (), look.vectors[0], look.vectors[0], features, look=look)


async def _covers(stages: Stages, covers: PhotoSet) -> tuple[list[Shown], list[Shown]]:
    """The pictures and the photos."""
    pictures = [
        await _see(stages, _item(each, "merchant"), each.read())
        for each in tqdm(covers.gallery, "drawn covers", unit="picture")
    ]
    photos = [
        await _look_at(stages, _item(each, "photo"), each.read())
        for each in tqdm(covers.queries, "photos of drawn covers", unit="picture")
    ]
    return pictures, photos


def _item(entry: Entry, role: str) -> Item:
    return Item(
        dataset="drawn covers",
        path=Path(entry.name),
        role=role,
        split="val",
        product_id=entry.product,
        style_id=entry.style,
        category=entry.category,
        label=None,
        title=None,
        price=None,
        currency=None,
        boxes=None,
    )


def _mean(shown: Sequence[Shown]) -> tuple[float, ...]:
    mean = np.mean([each.vector for each in shown], axis=0)
    return tuple(round(float(value), 6) for value in mean)

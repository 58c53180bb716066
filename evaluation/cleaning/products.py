"""Pictures of products whose truth is known, and their vectors by the released embedder.

None of the products was trained on. Shots are simulated: of the demo's product photos, and of drawn covers, whose
families differ in a name, a hue or a picture only.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from evaluation.demo import pixels
from evaluation.demo_catalogue import DemoProduct, fetch
from evaluation.flat_covers import covers
from evaluation.flat_shots import flat_shots, read_backgrounds
from evaluation.phone_shots import shoot
from evaluation.photo_sets import entry_of
from evaluation.stages import LocalEmbedder
from offline.training.embedder.split import DATASETS, split_items
from offline.training.items import load_items
from shiwu.vision.crop import crop
from shiwu.vision.decode import Limits, decode
from shiwu.vision.resize import Image

Vectors = NDArray[np.float32]
_SEED: Final = 20261128
_COVER_SEED: Final = 3
_SIDE: Final = 360
_BATCH: Final = 32


@dataclass(frozen=True)
class Shown:
    """A picture of a product. style: what stays on one side of the split into halves; row: among all."""

    row: int
    source: str
    style: str
    product: str
    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Known:
    """Pictures with their vectors, (n, dimension), one row of each for each picture."""

    pictures: Sequence[Shown]
    whole: Vectors
    detail: Vectors
    """Of a crop of a fifth to a third of the sides, somewhere in the picture: a logo, a label, a piece of fabric."""
    misplaced: Vectors
    """Of a crop of two fifths to half of the sides in a corner: a box that misses the product."""

    def of(self, chosen: Sequence[int] | NDArray[np.intp]) -> Known:
        """Those at these places."""
        pictures = [self.pictures[i] for i in chosen]
        return Known(pictures, self.whole[chosen], self.detail[chosen], self.misplaced[chosen])


def halves(known: Known) -> tuple[Known, Known]:
    """For choosing thresholds, and for measuring: every second style of each source; no style is on both sides."""
    styles = sorted({(each.source, each.style) for each in known.pictures})
    order = np.random.default_rng(_SEED).permutation(len(styles))
    mixed = sorted((styles[i] for i in order), key=lambda style: style[0])
    first = set(mixed[::2])
    side = np.array([(each.source, each.style) in first for each in known.pictures])
    return known.of(np.flatnonzero(side)), known.of(np.flatnonzero(~side))


def shown(data: Path | None, cache: Path, *, quick: bool) -> list[Shown]:
    """All pictures. data: folder of the image sets; without it only what packages carry and programs draw."""
    products, rows = fetch(cache), count()
    if quick:
        return list(_demo(rows, products[:16], 6))
    found = [*_demo(rows, products, 12), *_covers(rows, data, 200, 8)]
    return [*found, *_held_out(rows, data)] if data else found


def _demo(rows: Iterator[int], products: Sequence[DemoProduct], shots: int) -> Iterator[Shown]:
    for i, each in enumerate(products):
        for shot in range(shots):
            other = products[(i + 1 + shot) % len(products)]
            read = partial(_before, each.picture, other.picture, i * shots + shot)
            yield Shown(next(rows), "demo photos, phone shots", each.key, each.key, f"shot {shot} of {each.key}", read)


def _before(picture: Path, background: Path, seed: int) -> bytes:
    return shoot(pixels(picture), pixels(background), seed, _SIDE)


def _covers(rows: Iterator[int], data: Path | None, number: int, shots: int) -> Iterator[Shown]:
    drawn, backgrounds = covers(number, _COVER_SEED), read_backgrounds(data)
    for shot in range(shots):
        for each in flat_shots(drawn, _COVER_SEED + shot, backgrounds):
            cover = each.cover
            name = f"shot {shot} of {cover.product_id}"
            yield Shown(
                next(rows), "covers, phone shots", cover.family, cover.product_id, name, partial(bytes, each.photo)
            )


def _held_out(rows: Iterator[int], data: Path) -> Iterator[Shown]:
    """Real photos of groceries, a shop's pictures of garments by style, renders of objects."""
    for item in split_items(load_items(data, DATASETS)).held_out:
        if item.role == "merchant" and item.dataset == "grocery":
            continue
        entry = entry_of(item)
        source = {"grocery": "grocery photos", "magento": "Luma styles", "ycb": "YCB renders"}[item.dataset]
        product = entry.style if item.dataset == "magento" else entry.product
        yield Shown(next(rows), source, entry.style, product, entry.name, entry.read)


def embedded(pictures: Sequence[Shown], model: Path, cache: Path) -> Known:
    """The pictures' vectors; kept in `cache` by what they were made of."""
    embedder = LocalEmbedder(model)
    names = "\n".join(f"{each.source} {each.product} {each.name}" for each in pictures)
    key = hashlib.sha256(f"{embedder.model.id} {names}".encode()).hexdigest()[:16]
    kept = cache / f"vectors-{key}.npy"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(kept, asyncio.run(_embed(pictures, embedder)))
    return Known(pictures, *np.load(kept))


async def _embed(pictures: Sequence[Shown], embedder: LocalEmbedder) -> NDArray[np.float32]:
    """(3, n, dimension): of the whole, the detail and the misplaced crop."""
    vectors = []
    for start in tqdm(range(0, len(pictures), _BATCH), "embedding"):
        batch = [pixels_of(each) for each in pictures[start : start + _BATCH]]
        vectors.append([await embedder.embed_stock(list(way)) for way in zip(*batch, strict=True)])
    return np.concatenate([np.asarray(each, np.float32) for each in vectors], axis=1)


def pixels_of(picture: Shown) -> tuple[Image, Image, Image]:
    """The whole, the detail and the misplaced crop; RGB."""
    whole = decode(picture.read(), Limits()).pixels
    return whole, _detail(whole, picture.row), _misplaced(whole, picture.row)


def _detail(image: Image, seed: int) -> Image:
    random = np.random.default_rng((_SEED, seed, 0))
    share = random.uniform(0.2, 0.33)
    return _part(image, share, *random.uniform(0, 1 - share, 2).tolist())


def _misplaced(image: Image, seed: int) -> Image:
    random = np.random.default_rng((_SEED, seed, 1))
    share = random.uniform(0.4, 0.5)
    left, top = (float(random.integers(2)) * (1 - share) for _ in "xy")
    return _part(image, share, left, top)


def _part(image: Image, share: float, left: float, top: float) -> Image:
    height, width = image.shape[:2]
    return crop(image, (left * width, top * height, (left + share) * width, (top + share) * height))

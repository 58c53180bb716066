"""Photos with a catalogue to find them in, from many sources in one shape.

The photos of grocery are real ones; of the others some are other views of the same thing and some are simulated phone
shots, and their names say so.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from evaluation.demo import pixels
from evaluation.demo_catalogue import fetch
from evaluation.flat_covers import Cover, covers
from evaluation.flat_shots import flat_shots, read_backgrounds
from evaluation.phone_shots import shoot
from offline.training.embedder.pictures import load_pictures, over
from offline.training.embedder.split import DATASETS, split_items
from offline.training.items import Item, load_items
from shiwu.vision.resize import Image

_SEED: Final = 20261125
_SPLIT_SEED: Final = 7
_TUNING_SEED: Final = 1_000_001
_TUNING_COVERS: Final = 400
_SIDE: Final = 480
"""Pixels of a simulated shot."""
_SHOTS: Final = 3
"""Of each of the demo's pictures."""
_COMPOSITES: Final = 300


@dataclass(frozen=True)
class Entry:
    """A picture of a product. name: which picture; style: what stays on one side of a split; read: its file."""

    name: str
    product: str
    style: str
    category: str | None
    read: Callable[[], bytes]


@dataclass(frozen=True)
class PhotoSet:
    """Photos and the catalogue's pictures. A photo is never compared with the picture of its own name."""

    name: str
    gallery: Sequence[Entry]
    queries: Sequence[Entry]

    def limited(self, limit: int | None) -> PhotoSet:
        """With at most so many photos, drawn with a fixed seed."""
        if limit is None or limit >= len(self.queries):
            return self
        chosen = np.random.default_rng(_SEED).permutation(len(self.queries))[:limit]
        return PhotoSet(self.name, self.gallery, [self.queries[i] for i in sorted(chosen)])

    def of(self, styles: Container[str]) -> PhotoSet:
        """With the photos of these styles only, against the same catalogue."""
        return PhotoSet(self.name, self.gallery, [each for each in self.queries if each.style in styles])


def every_second_style(items: Iterable[Item]) -> frozenset[str]:
    """For tuning; the others are for measuring. No style is on both sides."""
    styles = sorted({item.style_id for item in items if item.style_id})
    return frozenset(np.random.default_rng(_SPLIT_SEED).permutation(styles)[::2].tolist())


def tuning_styles(data: Path) -> frozenset[str]:
    """Half of the styles that the embedder was trained on, and half of those that it was not."""
    split = split_items(load_items(data, DATASETS))
    return every_second_style((*split.train, *split.validation)) | every_second_style(split.held_out)


def tuning_sets(data: Path) -> list[PhotoSet]:
    """What the choice of a region is fitted to."""
    styles = tuning_styles(data)
    known = [*grocery(data), *magento(data), *composites(data)]
    return [*(each.of(styles) for each in known), tuning_covers(data)]


def tuning_covers(data: Path) -> PhotoSet:
    """Drawn covers of another seed than those that are measured."""
    [covers] = flat(data, _TUNING_COVERS, _TUNING_SEED)
    return covers


def measuring_sets(data: Path, cache: Path, count: int, seed: int) -> list[PhotoSet]:
    """The other half of them, the demo's pictures, and `count` covers of another seed."""
    used = tuning_styles(data)
    known = [*grocery(data), *magento(data), *composites(data)]
    others = [each.of({query.style for query in each.queries} - used) for each in known]
    return others + demo(cache) + flat(data, count, seed)


def grocery(data: Path) -> list[PhotoSet]:
    """Phone photos from shops against the shops' own pictures."""
    items = load_items(data, ["grocery"])
    split = split_items(items)
    shop = [item for item in items if item.role == "merchant"]
    held_out = [item for item in split.held_out if item.role == "photo"]
    unknown = {item.product_id for item in held_out}
    trained = [item for item in split.validation if item.role == "photo"]
    own = [item for item in shop if item.product_id in unknown]
    return [
        PhotoSet("grocery, held-out classes", _entries(own), _entries(held_out)),
        PhotoSet("grocery, held-out classes among all", _entries(shop), _entries(held_out)),
        PhotoSet("grocery, trained classes", _entries(shop), _entries(trained)),
    ]


def magento(data: Path) -> list[PhotoSet]:
    """A shop's pictures against the others of the same colourway or style, and phone shots of them against all."""
    items = [item for item in load_items(data, ["magento"]) if item.product_id and item.style_id]
    backgrounds = read_backgrounds(data)
    shots = [
        Entry(f"shot of {item.path}", *_known(item), partial(_shot, item, i, backgrounds))
        for i, item in enumerate(items)
    ]
    return [
        PhotoSet("Luma, other views of the colourway", _entries(items), _repeated(_entries(items))),
        PhotoSet("Luma, other views of the style", _styled(items), _repeated(_styled(items))),
        PhotoSet("Luma, phone shots (simulated)", _entries(items), shots),
    ]


def composites(data: Path) -> list[PhotoSet]:
    """Renders of objects pasted on backgrounds, against renders of other views on white."""
    items = [item for item in load_items(data, ["ycb"]) if item.product_id]
    backgrounds = read_backgrounds(data)
    random = np.random.default_rng(_SEED)
    chosen = [items[i] for i in random.permutation(len(items))[:_COMPOSITES]]
    queries = [
        Entry(str(item.path), *_known(item), partial(_pasted, item, i, backgrounds)) for i, item in enumerate(chosen)
    ]
    return [PhotoSet("YCB, other views on backgrounds (composites)", _entries(items), queries)]


def demo(cache: Path) -> list[PhotoSet]:
    """Phone shots of the demo's product photos, each before another of them out of focus."""
    products = fetch(cache)
    gallery = [Entry(each.key, each.key, each.key, each.category, each.picture.read_bytes) for each in products]
    queries = [
        Entry(
            f"shot {i} of {each.key}",
            each.key,
            each.key,
            each.category,
            partial(_before, each.picture, products[n - 1 - i].picture, n * _SHOTS + i),
        )
        for n, each in enumerate(products)
        for i in range(_SHOTS)
    ]
    return [PhotoSet("demo pictures, phone shots (simulated)", gallery, queries)]


def flat(data: Path | None, count: int, seed: int) -> list[PhotoSet]:
    """Phone shots of drawn covers and packages."""
    products = covers(count, seed)
    shots = flat_shots(products, seed, read_backgrounds(data))
    queries = [Entry(f"shot of {s.cover.product_id}", *_facts(s.cover), partial(bytes, s.photo)) for s in shots]
    gallery = [Entry(each.product_id, *_facts(each), partial(_png, each)) for each in products]
    return [PhotoSet("flat covers, phone shots (simulated)", gallery, queries)]


def _facts(cover: Cover) -> tuple[str, str, str]:
    return cover.product_id, cover.family, cover.category


def _known(item: Item) -> tuple[str, str, str | None]:
    product = item.product_id or str(item.path)
    return product, item.style_id or product, item.category


def entry_of(item: Item) -> Entry:
    """A set's picture as it is; a render on white. One without a product is its own."""
    return Entry(str(item.path), *_known(item), partial(_file, item))


def _entries(items: Iterable[Item]) -> list[Entry]:
    return [entry_of(item) for item in items]


def _styled(items: Iterable[Item]) -> list[Entry]:
    """With the style as the product."""
    return [replace(each, product=each.style) for each in _entries(items)]


def _repeated(entries: Sequence[Entry]) -> list[Entry]:
    """Those of products with more than one picture."""
    products = [each.product for each in entries]
    return [each for each in entries if products.count(each.product) > 1]


def _file(item: Item) -> bytes:
    if item.role != "render":
        return item.path.read_bytes()
    [picture] = load_pictures([item], side=None)
    assert picture.alpha is not None  # noqa: S101 - what a render is
    return _encoded(over(picture.rgb, picture.alpha, np.full(picture.rgb.shape, 255, np.uint8)))


def _shot(item: Item, seed: int, backgrounds: Sequence[Image]) -> bytes:
    return shoot(pixels(item.path), backgrounds[seed % len(backgrounds)], seed, _SIDE)


def _before(picture: Path, background: Path, seed: int) -> bytes:
    return shoot(pixels(picture), pixels(background), seed, _SIDE)


def _pasted(item: Item, seed: int, backgrounds: Sequence[Image]) -> bytes:
    """The object at 35 to 75 % of the frame's side, anywhere in it."""
    random = np.random.default_rng((_SEED, seed))
    [picture] = load_pictures([item], side=None)
    assert picture.alpha is not None  # noqa: S101 - what a render is
    frame = np.asarray(cv2.resize(backgrounds[seed % len(backgrounds)], (_SIDE, _SIDE)), np.uint8)
    x, y, width, height = cv2.boundingRect(picture.alpha)
    scale = random.uniform(0.35, 0.75) * _SIDE / max(width, height)
    size = max(1, int(width * scale)), max(1, int(height * scale))
    rgb = np.asarray(cv2.resize(picture.rgb[y : y + height, x : x + width], size), np.uint8)
    alpha = np.asarray(cv2.resize(picture.alpha[y : y + height, x : x + width], size), np.uint8)
    left, top = (int(random.integers(_SIDE - side + 1)) for side in size)
    part = frame[top : top + size[1], left : left + size[0]]
    part[:] = over(rgb, alpha, part)
    return _encoded(frame)


def _png(cover: Cover) -> bytes:
    return _encoded(cover.picture())


def _encoded(rgb: Image) -> bytes:
    _, data = cv2.imencode(".png", rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(data)

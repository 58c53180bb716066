"""What the embedder learns from: pictures, what each one shows, and how many views of it are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from offline.training.embedder import covers
from offline.training.embedder.drawings import drawings
from offline.training.embedder.pictures import Picture, read_picture, without_white
from offline.training.embedder.views import colourful, phone_view, photo_view, recoloured, shop_view
from offline.training.items import Item
from shiwu.vision.resize import Image

Kind = Literal["shop", "phone", "photo"]
Group = Literal["grocery", "magento", "ycb", "single", "cover", "drawing"]
GROUPS: Final[tuple[Group, ...]] = ("grocery", "magento", "ycb", "single", "cover", "drawing")

_SIDE: Final = 288
_CLOTHING: Final = 2200
_HUES: Final = (100, 220)
_FAMILIES: Final = 700

STAMPS: Final = Path("/usr/share/tuxpaint/stamps")
"""Photographed cut-outs of the Debian package `tuxpaint-stamps-default`."""
_STAMP_FOLDERS: Final = (
    "clothes",
    "food",
    "hobbies",
    "household",
    "medical",
    "seasonal",
    "sports",
    "animals",
    "plants",
)
_STAMP_LEAVES: Final = ("cartoon", "money")


@dataclass(frozen=True, slots=True)
class Source:
    """A picture, the product and style that it shows, and how many views of each kind to make of it."""

    picture: Picture
    group: Group
    product: str
    style: str
    views: tuple[tuple[Kind, int], ...]
    hue: int = 0
    """Degrees by which its colours are turned; a turned design is a product of its own."""


def sources(train: Sequence[Item], stamps: Path, modules: Path, seed: int) -> list[Source]:
    """All sources for these training items; without the packages of stamps and drawings, without these."""
    rng = np.random.default_rng(seed)
    clothing = [item for item in train if item.dataset == "clothing"]
    chosen = set(rng.choice(len(clothing), min(_CLOTHING, len(clothing)), replace=False).tolist())
    kept = [item for item in train if item.dataset != "clothing"] + [clothing[i] for i in sorted(chosen)]
    made = [source for item in kept for source in _of_item(item)]
    art = [source.picture.rgb for source in made if source.group == "single"]
    return [*made, *_of_stamps(stamps), *_of_covers(art, seed), *_of_drawings(modules)]


def _of_item(item: Item) -> Iterator[Source]:
    picture = read_picture(item.path, _SIDE)
    name = f"{item.dataset}/{item.path.name}"
    match item.dataset:
        case "grocery":
            product, style = str(item.product_id), str(item.style_id)
            if item.role == "merchant":
                yield Source(without_white(picture), "grocery", product, style, (("shop", 20), ("phone", 30)))
            else:
                yield Source(picture, "grocery", product, style, (("photo", 7),))
        case "magento":
            product, style = str(item.product_id), str(item.style_id)
            cut = without_white(picture)
            yield Source(cut, "magento", product, style, (("shop", 6), ("phone", 5)))
            if colourful(cut):
                for hue in _HUES:
                    other = f"{product}+{hue}"
                    yield Source(recoloured(cut, hue), "magento", other, style, (("shop", 3), ("phone", 2)), hue)
        case "ycb":
            yield Source(_tight(picture), "ycb", str(item.product_id), str(item.style_id), (("shop", 2), ("phone", 3)))
        case "caltech101":
            yield Source(without_white(picture), "single", name, str(item.label), (("shop", 2), ("phone", 2)))
        case "clothing":
            yield Source(picture, "single", name, str(item.label), (("shop", 1), ("photo", 1), ("phone", 1)))
        case _:
            msg = f"no recipe for the set {item.dataset}"
            raise ValueError(msg)


def _of_stamps(stamps: Path) -> Iterator[Source]:
    for folder in _STAMP_FOLDERS:
        for path in sorted((stamps / folder).rglob("*.png")):
            if path.stem.endswith(("_mirror", "_flip")) or any(leaf in path.parts for leaf in _STAMP_LEAVES):
                continue
            picture = read_picture(path, _SIDE)
            if picture.alpha is None or min(picture.rgb.shape[:2]) < 64:
                continue
            product = f"stamp/{path.relative_to(stamps)}"
            yield Source(_tight(picture), "single", product, product, (("shop", 5), ("phone", 10)))


def _of_covers(art: Sequence[Image], seed: int) -> Iterator[Source]:
    for number in range(_FAMILIES if art else 0):
        style = f"cover/{number}"
        for i, front in enumerate(covers.family(np.random.default_rng([seed, number]), art)):
            yield Source(Picture(front, None), "cover", f"{style}/{i}", style, (("shop", 2), ("phone", 3)))


def _of_drawings(modules: Path) -> Iterator[Source]:
    for drawing in drawings(modules):
        if not drawing.held_out:
            picture = _tight(read_picture(drawing.path, _SIDE))
            product = f"drawing/{drawing.object}"
            yield Source(picture, "drawing", product, product, (("shop", 1), ("phone", 1)))


def _tight(picture: Picture) -> Picture:
    """A cut-out without its empty border."""
    if picture.alpha is None or not picture.alpha.any():
        return picture
    rows, columns = np.nonzero(picture.alpha.max(axis=1))[0], np.nonzero(picture.alpha.max(axis=0))[0]
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Picture(np.ascontiguousarray(picture.rgb[part]), np.ascontiguousarray(picture.alpha[part]))


def view(source: Source, kind: Kind, backgrounds: Sequence[Image], size: int, rng: np.random.Generator) -> Image:
    """One random view of a source, (size, size, 3)."""
    if kind == "shop":
        return shop_view(source.picture, size, rng)
    if kind == "photo":
        return photo_view(source.picture, size, rng)
    return phone_view(source.picture, backgrounds, size, rng)

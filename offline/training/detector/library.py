"""Everything that training pictures are made of, decoded once and kept in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from offline.training.detector import matching, mattes
from offline.training.detector.config import Data
from offline.training.detector.derived import DerivedCache
from offline.training.detector.targets import Truth
from offline.training.items import Item, load_items
from shiwu.categories import CATEGORIES
from shiwu.vision import boxes as geometry
from shiwu.vision.resize import Image

_SPLIT_SEED: Final = 2026
_STAMPS: Final = Path(__file__).with_name("stamps.json")
_NEGATIVES: Final = "not a product"
_FILLED: Final = 0.06
"""Share of the photo that a matched article must fill; a smaller match is one on the shelf."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """One object without its surroundings, cropped tightly."""

    pixels: Image
    alpha: NDArray[np.uint8]
    category: int
    """Index in CATEGORIES, -1 where unknown, -2 for what is no product."""
    group: str
    """Views of one object share it."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A real picture and what is known of it; boxes in its pixels."""

    pixels: Image
    truth: Truth
    name: str


@dataclass(slots=True)
class Library:
    """Training material; `held_*` is never trained on."""

    backgrounds: list[Image] = field(default_factory=list)
    cutouts: list[Cutout] = field(default_factory=list)
    negatives: list[Cutout] = field(default_factory=list)
    boxed: list[Photo] = field(default_factory=list)
    """Photos with drawn boxes."""
    single: list[Photo] = field(default_factory=list)
    """Photos of one object whose box was found by contrast or by matching."""
    held_boxed: list[Photo] = field(default_factory=list)
    held_single: list[Photo] = field(default_factory=list)
    held_cutouts: list[Cutout] = field(default_factory=list)


def load_library(data: Path, stamps: Path | None, cache: Path, share: float = Data().held_out) -> Library:
    """Reads the image sets under `data` and, where given, the stamps; what is derived is kept in the file `cache`.

    share: of the photos with drawn boxes, how many are held out.
    """
    # Processes forked after OpenCV has started threads of its own wait for them for ever.
    cv2.setNumThreads(0)
    library = Library()
    boxed = load_items(data, ["coco128"])
    held = held_out([item.path.stem for item in boxed], share)
    products = coco_categories(data)
    for item in boxed:
        photo = Photo(read(item.path), drawn(item, products), item.path.stem)
        (library.held_boxed if item.path.stem in held else library.boxed).append(photo)
    for item in load_items(data, ["backgrounds"]):
        # Some backgrounds were cut from the held-out photos: a detector that saw them would be flattered.
        if item.path.stem.removeprefix("coco_") not in held:
            library.backgrounds.append(read(item.path))
    _add_renders(library, load_items(data, ["ycb"]))
    _add_on_white(library, [i for i in load_items(data, ["magento", "grocery"]) if i.role == "merchant"])
    with DerivedCache(cache) as derived:
        _add_by_contrast(library, load_items(data, ["caltech101", "clothing"]), derived, data)
        _add_by_matching(library, load_items(data, ["grocery"]), derived, data)
    if stamps is not None:
        _add_stamps(library, stamps)
    return library


def held_out(names: Sequence[str], share: float = Data().held_out) -> frozenset[str]:
    """The photos with drawn boxes that are kept for measuring: a fixed random share."""
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(names))
    ordered = sorted(names)
    return frozenset(ordered[i] for i in order[: round(share * len(names))])


def read(path: Path) -> Image:
    """The picture as RGB."""
    return np.asarray(cv2.cvtColor(decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def decode(path: Path, flags: int) -> NDArray[np.uint8]:
    """The picture as OpenCV reads it with these flags, BGR. Raises ValueError if it is none."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), flags)
    if pixels is None:
        msg = f"{path} is not a picture"
        raise ValueError(msg)
    return np.asarray(pixels, np.uint8)


def coco_categories(data: Path) -> dict[str, int]:
    """Index in CATEGORIES of COCO's names, -1 for what is no product."""
    rows = json.loads((data / "coco128" / "classes.json").read_text(encoding="utf-8"))
    return {row["name"]: index_of(row["category"]) for row in rows}


def index_of(category: str | None) -> int:
    return CATEGORIES.index(category) if category is not None else -1


def drawn(item: Item, categories: dict[str, int]) -> Truth:
    """The products among the item's boxes; categories: by label."""
    products = [box for box in item.boxes or () if box.product]
    return Truth(
        np.array([box.corners for box in products], np.float32).reshape(-1, 4),
        np.array([categories[box.label] for box in products], np.int64),
        np.zeros((0, 4), np.float32),
    )


def _add_renders(library: Library, items: Sequence[Item]) -> None:
    for item in items:
        pixels = decode(item.path, cv2.IMREAD_UNCHANGED)
        cutout = cutout_of(pixels[..., 2::-1], pixels[..., 3], index_of(item.category), f"ycb {item.product_id}")
        (library.cutouts if item.split == "train" else library.held_cutouts).append(cutout)


def _add_on_white(library: Library, items: Sequence[Item]) -> None:
    """Shop pictures: things become cut-outs; garments stay as they are, for they are worn by people.

    A person is no product in other photos, so pasting models into scenes would teach a contradiction.
    """
    for item in items:
        pixels = read(item.path)
        mask = mattes.on_white(pixels)
        if not 0.03 < mask.mean() < 0.97:
            continue
        held = item.split == "val"
        if item.category == "clothing":
            photo = Photo(pixels, one_box(mask, index_of(item.category)), item.path.stem)
            (library.held_single if held else library.single).append(photo)
        else:
            cutout = cutout_of(pixels, mask.astype(np.uint8) * 255, index_of(item.category), str(item.product_id))
            (library.held_cutouts if held else library.cutouts).append(cutout)


def _add_by_contrast(library: Library, items: Sequence[Item], derived: DerivedCache, data: Path) -> None:
    for item in tqdm(items, desc="mattes", unit="photo"):
        pixels = read(item.path)
        matte = derived.matte(str(item.path.relative_to(data)), pixels)
        if matte is None or not _believable(matte, item.dataset):
            continue
        held = item.split == "val"
        photo = Photo(pixels, one_box(matte.mask, index_of(item.category)), f"{item.dataset} {item.label}")
        (library.held_single if held else library.single).append(photo)
        if matte.agreement > 0.88 and matte.contact < 0.03 and item.label != "snoopy":
            # No two photos are known to show the same thing, so a kind of thing makes the group.
            group = f"{item.dataset} {item.label} {len(library.cutouts) % 40}"
            cutout = cutout_of(pixels, matte.mask.astype(np.uint8) * 255, index_of(item.category), group)
            (library.held_cutouts if held else library.cutouts).append(cutout)


def _believable(matte: mattes.Matte, dataset: str) -> bool:
    """Thresholds chosen by looking at some two hundred mattes: wrong ones are mostly a part taken for the whole."""
    if not 0.06 < matte.area < 0.85 or matte.contact > 0.1:
        return False
    if dataset == "clothing":
        return matte.agreement > 0.7
    return matte.agreement > 0.6 and matte.roughness < 22


def _add_by_matching(library: Library, items: Sequence[Item], derived: DerivedCache, data: Path) -> None:
    """User photos of printed articles, boxed by the shop's image; other articles behind stay unlabelled on purpose.

    What a hand holds up is the main object, the shelf behind it is not.
    """
    templates = {i.product_id: matching.template(read(i.path)) for i in items if i.role == "merchant"}
    for item in tqdm(items, desc="matches", unit="photo"):
        template = templates.get(item.product_id)
        if item.role != "photo" or template is None:
            continue
        pixels = read(item.path)
        box = derived.box(str(item.path.relative_to(data)), pixels, template)
        if box is None or geometry.areas(box)[0] < _FILLED * pixels.shape[0] * pixels.shape[1]:
            continue
        truth = Truth(box, np.array([index_of(item.category)], np.int64), np.zeros((0, 4), np.float32))
        photo = Photo(pixels, truth, f"{item.dataset} {item.label}")
        (library.held_single if item.split == "val" else library.single).append(photo)


def one_box(mask: mattes.Mask, category: int) -> Truth:
    return Truth(mattes.box_of(mask), np.array([category], np.int64), np.zeros((0, 4), np.float32))


def _add_stamps(library: Library, folder: Path) -> None:
    """Photographed stamps as listed in stamps.json; animals and plants become things that are not products."""
    listed: dict[str, list[str]] = json.loads(_STAMPS.read_text(encoding="utf-8"))
    for category, names in listed.items():
        for path in _pngs(folder, names):
            pixels = decode(path, cv2.IMREAD_UNCHANGED)
            if pixels.ndim != 3 or pixels.shape[2] != 4 or (pixels[..., 3] > 127).mean() < 0.02:
                continue
            scale = min(1.0, 320 / max(pixels.shape[:2]))
            pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
            negative = category == _NEGATIVES
            cutout = cutout_of(
                pixels[..., 2::-1], pixels[..., 3], -2 if negative else index_of(category), f"stamp {path.stem}"
            )
            (library.negatives if negative else library.cutouts).append(cutout)


def _pngs(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        if (folder / name).is_dir():
            yield from (p for p in sorted((folder / name).rglob("*.png")) if "cartoon" not in p.parts)
        else:
            yield folder / f"{name}.png"


def cutout_of(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], category: int, group: str) -> Cutout:
    """The object of RGB pixels (h, w, 3), cropped to where its alpha (h, w) is above one half."""
    x1, y1, x2, y2 = mattes.box_of(alpha > 127)[0].astype(int)
    crop = np.s_[y1:y2, x1:x2]
    return Cutout(np.ascontiguousarray(pixels[crop]), np.ascontiguousarray(alpha[crop]), category, group)

"""Pictures of which all boxes are known, to study how many of them people must draw.

Objects and backgrounds of the test pictures are on no other picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.random import Generator

from evaluation.demo_catalogue import unpack
from offline.annotation.material import Boxed
from offline.training.detector.composites import Scenes
from offline.training.detector.library import Cutout, Library, coco_categories, cutout_of, decode, drawn, read
from offline.training.detector.targets import Truth
from offline.training.embedder.covers import clouds
from offline.training.items import load_items
from shiwu.categories import CATEGORIES
from shiwu.vision.resize import Image

T = TypeVar("T")

_SEED: Final = 2028
_SIDE: Final = 256
_SMALL: Final = 0.2
"""Share of the composites with small objects only."""
_HELD: Final = 0.25
"""Share of objects of each category, and of backgrounds, that are for testing."""
_POOLED: Final = 0.6
_GROUNDS: Final = 80
EMOJI: Final = "@lobehub/fluent-emoji-3d@1.1.0"
"""Drawings with alpha under the MIT licence."""
_EMOJI: Final = {
    "food": "🍎🍐🍊🍋🍌🍉🍇🍓🍒🍑🥭🍍🥥🥝🍅🍆🥑🥦🥒🌽🥕🥔🥐🍞🥨🧀🥚🥞🥓🥩🍗🍔🍟🍕🌭🥪🌮🍣🍩🍪🎂🍰🧁🍫🍬🍭🍯🍼🥛🍺",
    "clothing": "👔👕👖🧣🧤🧥🧦👗👘👙👚👛👜👝🎒👞👟🥾🥿👠👡👢👑👒🎩🎓🧢👓🥽🥼🦺🧳",
    "appliances": "📱📞📟📠🔋🔌💻💽💾💿📀🎥📺📷📸📹📼💡🔦📻🎧🎙🕹📡🔬🔭⏰",
    "toys": "⚽⚾🥎🏀🏐🏈🎾🥏🎳🏏🏑🏒🥍🏓🏸🥊🎯🪀🪁🎱🎲🧩🧸🪅🪆🎨🎷🪗🎸🎹🎺🎻🪕🥁",
}


@dataclass(frozen=True)
class StudySet:
    """names: of the categories, whose indices are in the truths of pool and test; pool: what people could box, in the
    order in which they would; test: see above; told: the pool with the categories that maps are told, kinds."""

    name: str
    names: tuple[str, ...]
    pictures: Mapping[str, Image]
    pool: Sequence[Boxed]
    test: Sequence[Boxed]
    told: Sequence[Boxed]
    kinds: tuple[str, ...]

    @property
    def boxes(self) -> int:
        """In the pool."""
        return sum(len(each.truth.boxes) for each in self.pool)


def ycb(data: Path, pool: int, test: int) -> StudySet:
    """Renders of YCB objects on the background set's photos, all of one category to a detector: their looks do not
    tell the toys from the others."""
    cutouts = []
    for item in load_items(data, ["ycb"]):
        pixels, category = decode(item.path, cv2.IMREAD_UNCHANGED), CATEGORIES.index(str(item.category))
        cutouts.append(cutout_of(pixels[..., 2::-1], pixels[..., 3], category, str(item.product_id)))
    grounds = [read(item.path) for item in load_items(data, ["backgrounds"])]
    return _of_one_category(_composites("YCB composites", cutouts, grounds, pool, test))


def emoji(cache: Path, pool: int, test: int) -> StudySet:
    """Emoji of an npm package on drawn backgrounds: pictures that may be passed on."""
    if not (cache / "package" / "assets").is_dir():
        unpack(EMOJI, cache)
    cutouts: list[Cutout] = []
    for category, symbols in _EMOJI.items():
        for symbol in symbols:
            path = cache / "package" / "assets" / f"{ord(symbol):04x}.webp"
            if path.exists():  # some names carry a variation selector; there are enough without them
                pixels = decode(path, cv2.IMREAD_UNCHANGED)
                cutouts.append(cutout_of(pixels[..., 2::-1], pixels[..., 3], CATEGORIES.index(category), symbol))
    rng = np.random.default_rng(_SEED)
    return _composites("emoji composites", cutouts, [clouds(rng) for _ in range(_GROUNDS)], pool, test)


def coco(data: Path) -> StudySet:
    """COCO photos with products, three of five in the pool; too few to tell their categories."""
    categories = coco_categories(data)
    items = [item for item in load_items(data, ["coco128"]) if any(box.product for box in item.boxes or ())]
    truths = {item.path.stem: drawn(item, categories) for item in items}
    codes = sorted({code for truth in truths.values() for code in truth.categories.tolist()})
    order = np.random.default_rng(_SEED).permutation(sorted(truths)).tolist()
    boxed = [_boxed(name, truths[name], codes) for name in order]
    pictures = {item.path.stem: read(item.path) for item in items}
    count = round(_POOLED * len(boxed))
    return _of_one_category(_study_set("COCO photos", codes, pictures, boxed[:count], boxed[count:]))


def _study_set(
    name: str, codes: Sequence[int], pictures: Mapping[str, Image], pool: Sequence[Boxed], test: Sequence[Boxed]
) -> StudySet:
    names = tuple(CATEGORIES[code] for code in codes)
    return StudySet(name, names, pictures, pool, test, pool, names)


def _of_one_category(of: StudySet) -> StudySet:
    """For detectors; maps are told the categories still, for "product" is on every picture."""
    pool, test = (
        [Boxed(each.picture, replace(each.truth, categories=np.zeros_like(each.truth.categories))) for each in side]
        for side in (of.pool, of.test)
    )
    return replace(of, names=("product",), pool=pool, test=test)


def _boxed(picture: str, truth: Truth, codes: Sequence[int]) -> Boxed:
    """With categories counted as `codes` lists them."""
    categories = np.array([codes.index(code) for code in truth.categories], np.int64)
    return Boxed(picture, Truth(truth.boxes, categories, truth.ignored))


def _composites(name: str, cutouts: Sequence[Cutout], grounds: Sequence[Image], pool: int, test: int) -> StudySet:
    rng = np.random.default_rng(_SEED)
    codes = sorted({cutout.category for cutout in cutouts})
    groups = [sorted({each.group for each in cutouts if each.category == code}) for code in codes]
    held = {group for of_one in groups for group in _some(of_one, rng)}
    held_grounds = set(_some(range(len(grounds)), rng))
    pictures: dict[str, Image] = {}
    boxed: list[list[Boxed]] = []
    for testing, count in ((False, pool), (True, test)):
        behind = [ground for i, ground in enumerate(grounds) if (i in held_grounds) == testing]
        own = [cutout for cutout in cutouts if (cutout.group in held) == testing]
        scenes = Scenes(Library(backgrounds=behind), _SIDE, own, small=_SMALL)
        boxed.append([])
        for number in range(count):
            picture = f"{'test' if testing else 'pool'}-{number:04d}"
            pictures[picture], truth = scenes.make(np.random.default_rng((_SEED, testing, number)))
            boxed[-1].append(_boxed(picture, truth, codes))
    return _study_set(name, codes, pictures, *boxed)


def _some(of: Sequence[T], rng: Generator) -> list[T]:
    chosen = rng.permutation(len(of))[: max(1, round(_HELD * len(of)))]
    return [of[i] for i in sorted(chosen)]

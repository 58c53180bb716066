"""Invented flat products: book covers, album covers, fronts of cartons and labels, drawn from a seed.

Public sets of such pictures are not free, so these are drawn: their brands, names and art are random. Most
products come in families that share a brand and a layout, because telling the same from the similar is what is hard:

| family | its members differ in |
|---|---|
| alone | a family of one |
| name | the name and the small print only |
| colour | the same, and the hue of everything: flavours |
| art | the same, and the picture: volumes of a series |

They are for tuning and measuring; training has pictures of its own and never sees a cover of a seed used here.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from evaluation.flat_art import KINDS, Colour, Palette, art
from shiwu.vision.resize import Image

Kind = Literal["book", "album", "carton", "label"]
Variation = Literal["alone", "name", "colour", "art"]
Share = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max, shares of the cover."""

CATEGORIES: Final[Mapping[Kind, str]] = {"book": "books", "album": "other", "carton": "food", "label": "beauty"}
SIDE: Final = 320
"""Longer side of a cover, pixels."""

_SIZES: Final[Mapping[Kind, tuple[tuple[int, int], ...]]] = {
    "book": ((213, SIDE), (228, SIDE), (240, SIDE)),
    "album": ((SIDE, SIDE),),
    "carton": ((220, SIDE), (SIDE, 230), (270, SIDE)),
    "label": ((SIDE, 200), (SIDE, 250), (200, SIDE)),
}
_FONTS: Final = (
    *("DejaVuSans-Bold", "DejaVuSans", "DejaVuSans-Oblique", "DejaVuSansMono-Bold", "DejaVuSerif-Bold", "DejaVuSerif"),
    *("DejaVuSerif-Italic", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta", "cmr10", "cmss10", "cmtt10"),
)
_ONSETS: Final = (
    "b",
    "br",
    "c",
    "d",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "st",
    "t",
    "v",
    "z",
)
_VOWELS: Final = ("a", "e", "i", "o", "u", "ai", "ea", "io", "ou")
_ENDS: Final = ("", "", "n", "r", "l", "s", "t", "x", "m", "nd")
_SMALL_PRINT: Final[Mapping[Kind, tuple[str, ...]]] = {
    "book": ("a novel", "stories", "volume {}", "edition {}", "essays", "translated"),
    "album": ("live {}", "{} songs", "remastered", "disc {}", "the sessions"),
    "carton": ("{} g", "{} pieces", "with {} vitamins", "wholemeal", "no sugar added", "{} ml"),
    "label": ("{} ml", "with oil of {}", "for dry hair", "no. {}", "sensitive", "SPF {}"),
}


class _Layout(NamedTuple):
    """Where things are; a band of paper lies behind the title where `band` says so."""

    art: Share
    title: Share
    brand: Share
    line: Share
    band: bool


_LAYOUTS: Final = (
    _Layout((0, 0, 1, 1), (0.08, 0.12, 0.92, 0.40), (0.1, 0.88, 0.9, 0.96), (0.1, 0.42, 0.9, 0.48), band=True),
    _Layout((0, 0.34, 1, 1), (0.06, 0.12, 0.94, 0.31), (0.06, 0.03, 0.94, 0.10), (0.2, 0.90, 0.8, 0.97), band=False),
    _Layout((0, 0, 1, 0.6), (0.06, 0.64, 0.94, 0.84), (0.06, 0.88, 0.6, 0.96), (0.62, 0.88, 0.94, 0.96), band=False),
    _Layout((0.1, 0.3, 0.9, 0.75), (0.1, 0.08, 0.9, 0.27), (0.1, 0.86, 0.9, 0.95), (0.1, 0.78, 0.9, 0.84), band=False),
    _Layout((0.38, 0, 1, 1), (0.03, 0.2, 0.36, 0.6), (0.03, 0.04, 0.36, 0.14), (0.03, 0.85, 0.36, 0.95), band=False),
    _Layout((0, 0, 1, 1), (0.05, 0.66, 0.95, 0.86), (0.05, 0.04, 0.95, 0.14), (0.05, 0.88, 0.95, 0.95), band=True),
    _Layout(
        (0.25, 0.22, 0.75, 0.6), (0.05, 0.64, 0.95, 0.82), (0.2, 0.05, 0.8, 0.18), (0.1, 0.85, 0.9, 0.92), band=False
    ),
    _Layout((0, 0.42, 1, 0.9), (0.05, 0.05, 0.95, 0.3), (0.05, 0.91, 0.95, 0.98), (0.05, 0.32, 0.95, 0.39), band=False),
)


@dataclass(frozen=True)
class Cover:
    """One product; all that its picture is drawn from."""

    product_id: str
    family: str
    kind: Kind
    varies: Variation
    """How it differs from the others of its family."""
    brand: str
    title: str
    line: str
    """The small print."""
    palette: Palette
    layout: int
    fonts: tuple[str, str]
    art: str
    art_seed: int
    size: tuple[int, int]
    """Width and height, pixels."""
    frame: int
    """Width of the frame, pixels; 0: none."""

    @property
    def category(self) -> str:
        return CATEGORIES[self.kind]

    def picture(self) -> Image:
        """The merchant's picture, RGB: the whole cover and nothing else."""
        width, height = self.size
        paper, ink, accent, _ = self.palette
        where = _LAYOUTS[self.layout]
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[:] = paper
        left, top, right, bottom = _pixels(where.art, self.size)
        pixels[top:bottom, left:right] = art(self.art, self.palette, self.art_seed, right - left, bottom - top)
        if where.band:
            for share in (where.title, where.brand, where.line):
                left, top, right, bottom = _pixels(share, self.size)
                cv2.rectangle(pixels, (left - 4, top - 3), (right + 4, bottom + 3), paper, -1)
        if self.frame:
            cv2.rectangle(pixels, (4, 4), (width - 5, height - 5), accent, self.frame)
        canvas = Pillow.fromarray(pixels)
        pen = ImageDraw.Draw(canvas)
        _write(pen, self.title, self.fonts[0], _pixels(where.title, self.size), ink)
        _write(pen, self.brand, self.fonts[1], _pixels(where.brand, self.size), ink)
        _write(pen, self.line, self.fonts[1], _pixels(where.line, self.size), ink)
        return np.asarray(canvas, np.uint8)


def covers(count: int, seed: int) -> list[Cover]:
    """`count` different products, whole families after each other; equal for equal seeds.

    A longer list begins with the shorter one. The last family may be cut.
    """
    random = np.random.default_rng(seed)
    made: list[Cover] = []
    number = 0
    while len(made) < count:
        made += _family(f"flat-{seed}-{number}", random)
        number += 1
    return made[:count]


def _family(name: str, random: np.random.Generator) -> list[Cover]:
    varies: Variation = get_args(Variation)[int(random.choice(4, p=(0.7, 0.1, 0.1, 0.1)))]
    size = 1 if varies == "alone" else int(random.integers(2, 6))
    kind: Kind = get_args(Kind)[int(random.integers(4))]
    titles = _distinct_titles(size, random)
    first = Cover(
        product_id=f"{name}-0",
        family=name,
        kind=kind,
        varies=varies,
        brand=_word(random).upper() if random.random() < 0.5 else f"{_word(random)} {_word(random)}".title(),
        title=titles[0],
        line=_small_print(kind, random),
        palette=_palette(random),
        layout=int(random.integers(len(_LAYOUTS))),
        fonts=(str(random.choice(_FONTS)), str(random.choice(_FONTS))),
        art=str(random.choice(KINDS)),
        art_seed=int(random.integers(2**31)),
        size=_SIZES[kind][int(random.integers(len(_SIZES[kind])))],
        frame=int(random.choice((0, 0, 1, 2, 4))),
    )
    members = [first]
    for i in range(1, size):
        member = replace(first, product_id=f"{name}-{i}", title=titles[i], line=_small_print(kind, random))
        if varies == "colour":
            member = replace(member, palette=_turned(first.palette, i / size))
        elif varies == "art":
            member = replace(member, art_seed=int(random.integers(2**31)))
        members.append(member)
    return members


def _distinct_titles(count: int, random: np.random.Generator) -> list[str]:
    titles: dict[str, None] = {}
    while len(titles) < count:
        words = " ".join(_word(random) for _ in range(int(random.integers(1, 4))))
        titles.setdefault(words.title() if random.random() < 0.6 else words.upper())
    return list(titles)


def _word(random: np.random.Generator) -> str:
    syllables = [str(random.choice(_ONSETS)) + str(random.choice(_VOWELS)) for _ in range(int(random.integers(1, 4)))]
    return "".join(syllables) + str(random.choice(_ENDS))


def _small_print(kind: Kind, random: np.random.Generator) -> str:
    return str(random.choice(_SMALL_PRINT[kind])).format(int(random.integers(2, 100)) * 5)


def _palette(random: np.random.Generator) -> Palette:
    hue, apart = random.random(), random.choice((0.08, 0.33, 0.5))
    light = random.random() < 0.6
    paper = _rgb(hue, random.uniform(0.05, 0.6), random.uniform(0.8, 1) if light else random.uniform(0.08, 0.4))
    ink = _rgb(hue + apart, random.uniform(0, 0.9), random.uniform(0, 0.3) if light else random.uniform(0.85, 1))
    accents = [_rgb(hue + apart * i, random.uniform(0.3, 1), random.uniform(0.35, 0.95)) for i in (1, 2)]
    return (paper, ink, accents[0], accents[1])


def _turned(palette: Palette, turn: float) -> Palette:
    """The palette with its hues turned; saturation enough that a turn is seen."""
    turned = []
    for colour in palette:
        hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in colour))
        turned.append(_rgb(hue + turn, max(saturation, 0.25), value))
    paper, ink, first, second = turned
    return (paper, ink, first, second)


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _pixels(share: Share, size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(value * side) for value, side in zip(share, size * 2, strict=True))
    return left, top, right, bottom


def _write(pen: ImageDraw.ImageDraw, text: str, name: str, box: Sequence[int], colour: Colour) -> None:
    """Text in as large letters as the box takes, in as many lines as make them largest."""
    left, top, right, bottom = box
    words = text.split()
    fits = []
    for count in range(1, min(3, len(words)) + 1):
        lines = [" ".join(words[i * len(words) // count : (i + 1) * len(words) // count]) for i in range(count)]
        widest = max(_font(name, 32).getlength(line) for line in lines) / 32
        fits.append((min((right - left) / widest, (bottom - top) / (1.2 * count)), lines))
    size, lines = max(fits, key=lambda each: each[0])
    font = _font(name, max(7, int(size)))
    for i, line in enumerate(lines):
        middle = top + (bottom - top) * (2 * i + 1) / (2 * len(lines))
        pen.text(((left + right) / 2, middle), line, fill=colour, font=font, anchor="mm")


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)

"""Flat fronts drawn by program: book and record covers, cartons, labels.

What tells one of them from the next is lettering, colour and layout, of which the image sets show next to nothing.
They come in families, as a brand's products do: one layout and brand, another name, accent colour or picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from numpy.random import Generator
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from shiwu.vision.resize import Image

SIDE: Final = 256
"""The longer side, pixels."""
_SIBLINGS: Final = (1, 5)
# The syllables of made-up words; one string each reads better than forty literals.
_ONSETS: Final = tuple(" b br c ch d f fl g h j k l m n p qu r s st t v w z".split(" "))  # noqa: SIM905
_RHYMES: Final = tuple("a e i o u an en in on ar er or al el ai ea ou ito ex y".split(" "))  # noqa: SIM905
_Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Block:
    """Something at a place: a picture, a shape or lines of text. Box: x1, y1, x2, y2 as shares of the front."""

    kind: str
    box: tuple[float, float, float, float]
    colour: int
    """Index into the front's colours."""
    own: bool
    """Whether every sibling has one of its own; otherwise the brand's."""
    font: str
    lines: int
    seed: int


@dataclass(frozen=True, slots=True)
class _Design:
    """What the siblings share."""

    size: tuple[int, int]
    ground: str
    colours: tuple[_Colour, ...]
    blocks: tuple[_Block, ...]


def family(rng: Generator, art: Sequence[Image]) -> list[Image]:
    """One to four fronts of one design, (h, w, 3); `art` is what may be printed on them."""
    design = _design(rng)
    brand = int(rng.integers(1 << 31))
    fronts = []
    for _ in range(int(rng.integers(*_SIBLINGS))):
        colours = list(design.colours)
        if rng.random() < 0.6:
            colours[int(rng.integers(len(colours)))] = _colour(rng)
        fronts.append(_draw(design, colours, brand, rng, art))
    return fronts


def clouds(rng: Generator) -> Image:
    """Soft colours, (200, 200, 3): a background, or a picture to print, where none is to be taken from anywhere."""
    small = rng.integers(0, 256, (int(rng.integers(2, 9)), int(rng.integers(2, 9)), 3), dtype=np.uint8)
    return np.asarray(Pillow.fromarray(small).resize((200, 200), Pillow.Resampling.BICUBIC), np.uint8)


def _design(rng: Generator) -> _Design:
    aspect = float(rng.choice([1.0, 0.7, 0.65, 0.75, 0.5, 1.4, np.exp(rng.normal(0, 0.4))]))
    size = (SIDE, round(SIDE / aspect)) if aspect > 1 else (round(SIDE * aspect), SIDE)
    size = (max(80, size[0]), max(80, size[1]))
    kinds = ["picture"] * int(rng.choice([0, 1, 1, 2])) + ["shape"] * int(rng.integers(0, 4))
    kinds += ["text"] * int(rng.integers(1, 5))
    ground = str(rng.choice(["plain", "slope", "picture", "stripes", "blobs"], p=[0.35, 0.2, 0.2, 0.1, 0.15]))
    return _Design(size, ground, tuple(_colour(rng) for _ in range(4)), tuple(_block(kind, rng) for kind in kinds))


def _block(kind: str, rng: Generator) -> _Block:
    width = rng.uniform(0.3, 1.0)
    height = rng.uniform(0.25, 0.7) if kind == "picture" else rng.uniform(0.06, 0.3)
    if kind == "shape" and rng.random() < 0.4:
        width, height = rng.uniform(0.1, 1.0), rng.uniform(0.05, 0.9)
    x, y = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    return _Block(
        kind=kind,
        box=(x, y, x + width, y + height),
        colour=int(rng.integers(1, 4)),
        own=bool(rng.random() < 0.5),
        font=str(rng.choice(_fonts())),
        lines=int(rng.choice([1, 1, 1, 2, 3])),
        seed=int(rng.integers(1 << 31)),
    )


def _draw(design: _Design, colours: list[_Colour], brand: int, rng: Generator, art: Sequence[Image]) -> Image:
    front = _ground(design, colours, np.random.default_rng([brand, 0]), rng, art)
    pen = ImageDraw.Draw(front)
    width, height = design.size
    for block in design.blocks:
        source = rng if block.own else np.random.default_rng([brand, block.seed])
        x1, y1, x2, y2 = (round(share * side) for share, side in zip(block.box, (width, height) * 2, strict=True))
        colour = colours[block.colour]
        if block.kind == "picture":
            front.paste(_part(art, source, (x2 - x1, y2 - y1)), (x1, y1))
        elif block.kind == "shape":
            _shape(pen, (x1, y1, x2, y2), colour, np.random.default_rng(block.seed))
        else:
            _text(pen, (x1, y1, x2, y2), colour, block, source)
    return np.asarray(front, np.uint8)


def _ground(
    design: _Design, colours: list[_Colour], brand: Generator, own: Generator, art: Sequence[Image]
) -> Pillow.Image:
    width, height = design.size
    if design.ground == "picture":
        return _part(art, own, design.size)
    pixels = np.broadcast_to(np.array(colours[0], np.float32), (height, width, 3)).copy()
    other = np.array(colours[1], np.float32)
    if design.ground == "slope":
        share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        pixels = pixels * (1 - share) + other * share
    elif design.ground == "stripes":
        across = np.arange(width)[None, :] * brand.normal() + np.arange(height)[:, None] * brand.normal()
        pixels[np.sin(across / brand.uniform(2, 12)) > brand.uniform(-0.5, 0.9)] = other
    elif design.ground == "blobs":
        small = Pillow.fromarray(own.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        pixels = 0.5 * pixels + 0.5 * np.asarray(small.resize(design.size, Pillow.Resampling.BICUBIC), np.float32)
    return Pillow.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _part(art: Sequence[Image], rng: Generator, size: tuple[int, int]) -> Pillow.Image:
    """A random part of one of the pictures."""
    picture = art[int(rng.integers(len(art)))]
    height, width = picture.shape[:2]
    h, w = max(1, int(height * rng.uniform(0.5, 1))), max(1, int(width * rng.uniform(0.5, 1)))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return Pillow.fromarray(picture[y : y + h, x : x + w]).resize((max(1, size[0]), max(1, size[1])))


def _shape(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: _Colour, rng: Generator) -> None:
    kind = int(rng.integers(5))
    x1, y1, x2, y2 = box
    if kind == 0:
        pen.rectangle(box, fill=colour)
    elif kind == 1:
        pen.ellipse(box, fill=colour)
    elif kind == 2:
        pen.rectangle(box, outline=colour, width=int(rng.integers(2, 9)))
    elif kind == 3:
        pen.polygon([(x1, y2), ((x1 + x2) // 2, y1), (x2, y2)], fill=colour)
    else:
        pen.line([(x1, y1), (x2, y2)], fill=colour, width=int(rng.integers(3, 24)))


def _text(
    pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: _Colour, block: _Block, rng: Generator
) -> None:
    """Lines that fill the box's width or height, whichever comes first."""
    x1, y1, x2, y2 = box
    case = np.random.default_rng(block.seed).integers(3)
    each = max(7, (y2 - y1) // block.lines)
    for line in range(block.lines):
        words = " ".join(_word(rng) for _ in range(int(rng.integers(1, 4))))
        words = words.upper() if case == 0 else words.title() if case == 1 else words
        width = pen.textlength(words, font=_font(block.font, 20)) / 20
        size = int(np.clip(min(each, (x2 - x1) / max(width, 0.1)), 7, 120))
        pen.text((x1, y1 + line * each), words, font=_font(block.font, size), fill=colour)


def _word(rng: Generator) -> str:
    return "".join(str(rng.choice(_ONSETS)) + str(rng.choice(_RHYMES)) for _ in range(int(rng.integers(1, 4))))


def _colour(rng: Generator) -> _Colour:
    kind = rng.random()
    if kind < 0.12:
        return (255, 255, 255)
    if kind < 0.22:
        return (20, 20, 20)
    r, g, b = (int(v) for v in rng.integers(0, 256, 3))
    return r, g, b


@lru_cache(1)
def _fonts() -> tuple[str, ...]:
    """The lettering fonts that come with matplotlib; the rest are mathematical symbols."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    names = (
        "DejaVuSans*.ttf",
        "DejaVuSerif*.ttf",
        "STIXGeneral*.ttf",
        "cmr10.ttf",
        "cmss10.ttf",
        "cmb10.ttf",
        "cmtt10.ttf",
    )
    return tuple(str(path) for name in names for path in sorted(folder.glob(name)) if "Display" not in path.name)


@lru_cache(2048)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)

"""The pictures of docs/cleaning.md, all of packages' photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure

from evaluation.cleaning.denoising import KINDS, noisy_skus
from evaluation.cleaning.hashing import HASHES
from evaluation.cleaning.merging import run, split
from evaluation.cleaning.products import Known, pixels_of
from evaluation.cleaning.robustness import RADIUS, Moved, edits, encoded
from offline.cleaning.dedup import Item, Near, groups
from offline.cleaning.denoise import DenoiseRule, denoise
from offline.cleaning.hashing import fingerprint
from offline.cleaning.merge import MergeRule
from shiwu.vision.resize import Image, fit

_NEWEST: Final = datetime(2026, 1, 1, tzinfo=UTC)
_TILE: Final = 112
_DRAWN_SOURCE: Final = "demo photos, phone shots"
_GREEN: Final = (44, 160, 44)
_RED: Final = (214, 39, 40)
_GRAY: Final = (160, 160, 160)


class Tile(NamedTuple):
    """A small picture with a line below it and a frame."""

    image: Image
    label: str
    colour: tuple[int, int, int]


def robustness(moved: Mapping[str, Mapping[str, Moved]], out: Path) -> None:
    """Median and 95 % distance of each hash after each edit."""
    figure = Figure(figsize=(9, 8), layout="constrained")
    panel = figure.subplots()
    names = list(moved)
    for i, hash_name in enumerate(HASHES):
        places = np.arange(len(names)) + 0.27 * (i - 1)
        medians = [moved[name][hash_name].median for name in names]
        panel.barh(places, medians, 0.25, label=f"{hash_name}: median")
        panel.plot([moved[name][hash_name].far for name in names], places, "k|", markersize=7)
    panel.plot([], [], "k|", label="95 % are nearer")
    panel.axvline(RADIUS, color="#d95f0e", linestyle=":", label=f"{RADIUS} bits")
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.set(xlabel="bits of 64 that differ from the picture before the edit")
    panel.grid(axis="x", alpha=0.4)
    panel.legend(loc="center right")
    figure.savefig(out, dpi=80, metadata={"Software": None})


def duplicates(photos: Sequence[Image], out: Path) -> None:
    """The group that a photo and those of its edits make that are near to it, among other photos."""
    first = "as it was"
    pictures = {first: photos[0]} | {name: edit(photos[0]) for name, edit in edits().items()}
    others = {f"other {i}": photo for i, photo in enumerate(photos[1:])}
    items = []
    for name, image in (pictures | others).items():
        mark = fingerprint(encoded(image, 90))
        date = _NEWEST if name == first else None  # of pictures of one size the newest is kept
        rest = (mark.hashes.average, mark.hashes.difference)
        items.append(Item(name, mark.hashes.perceptual, mark.width, mark.height, date, rest, mark.chroma))
    [group] = [each for each in groups(items, Near()) if first in (each.kept, *dict(each.dropped))]
    distances = dict(group.dropped)
    tiles = [Tile(pictures[group.kept], f"kept: {group.kept}", _GREEN)]
    tiles += [Tile(pictures[name], f"{name}: {bits}", _RED) for name, bits in distances.items()]
    missed = [name for name in pictures if name != group.kept and name not in distances]
    tiles += [Tile(pictures[name], f"{name}: far", _GRAY) for name in missed]
    _save(_grid(tiles, 5), out)


def denoised(known: Known, out: Path) -> None:
    """The pictures of a SKU, and what denoising says of each. The noisiest SKU with one wrong verdict at least."""
    skus = [sku for sku in noisy_skus(known) if sku.source == _DRAWN_SOURCE]
    verdicts = [denoise(sku.vectors, DenoiseRule()) for sku in skus]
    wrong = [
        sum((said != "noise") != clean for said, clean in zip(verdict, sku.clean.tolist(), strict=True))
        for verdict, sku in zip(verdicts, skus, strict=True)
    ]
    chosen = max(range(len(skus)), key=lambda i: (wrong[i] > 0, len(skus[i].kinds) - sum(skus[i].clean), -i))
    sku, verdict = skus[chosen], verdicts[chosen]
    ways = dict(zip(KINDS, (0, 0, 1, 2), strict=True))
    tiles = [
        Tile(pixels_of(known.pictures[origin])[ways[kind]], f"{kind}: {said}", _RED if said == "noise" else _GREEN)
        for origin, kind, said in zip(sku.origins, sku.kinds, verdict, strict=True)
    ]
    before = _grid([Tile(image, "", _GRAY) for image, _, _ in tiles], 6, labelled=False)
    _save(np.concatenate([before, np.full((16, before.shape[1], 3), 255, np.uint8), _grid(tiles, 6)]), out)


def merged(known: Known, out: Path) -> None:
    """The SKUs of a group, a row each; pictures that were taken for another SKU of the group are framed."""
    rows = [i for i, each in enumerate(known.pictures) if each.source == _DRAWN_SOURCE]
    given = split(known.of(rows), 0)
    group = max(run(given, MergeRule()), key=lambda each: (len(each.skus), each.score, each.skus))
    taken = {int(name) for step in group.steps for side in (step.forth, step.back) for name in side.shown}
    pictures = {sku: np.flatnonzero(given.sku == int(sku)).tolist()[:8] for sku in group.skus}
    strips = []
    for sku, own in pictures.items():
        tiles = [
            Tile(
                pixels_of(known.pictures[rows[i]])[0],
                "taken for another" if i in taken else f"SKU {int(sku)}",
                _RED if i in taken else _GRAY,
            )
            for i in own
        ]
        strips.append(_grid(tiles, max(map(len, pictures.values()))))
    _save(np.concatenate(strips), out)


def _grid(tiles: Sequence[Tile], columns: int, *, labelled: bool = True) -> Image:
    """White where there are no more tiles."""
    height = _TILE + (18 if labelled else 4)
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height, columns * (_TILE + 28), 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * height, i % columns * (_TILE + 28)
        small, _ = fit(tile.image, _TILE - 8, "letterbox", 255)
        sheet[top + 4 : top + _TILE - 4, left + 4 : left + _TILE - 4] = small
        cv2.rectangle(sheet, (left + 1, top + 1), (left + _TILE - 2, top + _TILE - 2), tile.colour, 3)
        place = (left + 1, top + _TILE + 11)
        cv2.putText(sheet, tile.label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.34, (60, 60, 60), 1, cv2.LINE_AA)
    return sheet


def _save(sheet: Image, out: Path) -> None:
    cv2.imwrite(str(out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])

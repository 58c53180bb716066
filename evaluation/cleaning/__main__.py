"""Cleaning beside its peers: hashing, near pairs, robustness of hashes, denoising, merging.

python -m evaluation.cleaning [--data DIR] [--models DIR] [--page FILE] [--only PART ...] [--quick]

--data: the folder of the image sets, of which only products are used that the embedder never saw; without it, pictures
of packages and drawn ones only. Every threshold, ours and the peers', is chosen on one half of the styles and measured
on the other. Speed is processor time on one thread, median of interleaved rounds; pairs and merging tell both clocks.
--page: whose sections are written anew, and the pictures in the folder of its name.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import cv2
from rich.console import Console
from rich.markdown import Markdown
from threadpoolctl import threadpool_limits

from evaluation.cleaning import denoising, drawing, hashing, merging, near_pairs, robustness
from evaluation.cleaning.products import Known, embedded, halves, shown
from evaluation.demo import pixels
from evaluation.demo_catalogue import fetch
from evaluation.pages import table, write_section
from offline.cleaning.denoise import DenoiseRule
from shiwu.inference.released import EMBEDDER

_CACHE: Final = Path(".cache")


def main() -> None:
    """Prints every part when it is done."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.cleaning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the image sets")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--page", type=Path, help="page whose sections, and pictures beside it, are written anew")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=list(_PARTS), help="parts, all by default")
    parser.add_argument("--quick", action="store_true", help="little of everything, in a minute or two")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(width=160)
    pictures = options.page.with_suffix("") if options.page else None
    if pictures:
        pictures.mkdir(exist_ok=True)
    given = _Given(options.data, options.models, pictures, options.quick)
    with threadpool_limits(limits=1, user_api="blas"):
        for name in options.only:
            lines = _PARTS[name](given)
            console.print(Markdown("\n".join([f"# {name}", "", *lines])))
            if options.page:
                today = date.today().isoformat()  # noqa: DTZ011 (a day is enough)
                machine = f"{today}, {os.cpu_count()} shared {platform.machine()} cores."
                write_section(options.page, name, [machine, "", *lines])


@dataclass(frozen=True)
class _Given:
    """What was asked for."""

    data: Path | None
    models: Path
    pictures: Path | None
    """Folder of the pictures to draw."""
    quick: bool

    @cached_property
    def photos(self) -> list[Path]:
        return [each.picture for each in fetch(_CACHE / "demo")][: 12 if self.quick else None]

    @cached_property
    def halves(self) -> tuple[Known, Known]:
        """For choosing and for measuring."""
        pictures = shown(self.data, _CACHE / "demo", quick=self.quick)
        return halves(embedded(pictures, self.models / EMBEDDER, _CACHE / "cleaning"))

    def drawn(self, file: str, what: str, draw: Callable[[Path], None]) -> list[str]:
        """The lines that show a picture, once it is drawn; none where no page is written."""
        if not self.pictures:
            return []
        draw(self.pictures / file)
        return ["", f"{what}:", "", f"![{what[0].lower()}{what[1:]}]({self.pictures.name}/{file})"]


def _hashing(given: _Given) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        files = hashing.as_photos(given.photos, Path(folder))
        rounds = 2 if given.quick else 5
        rates = {"640 x 480": hashing.speed(files, rounds), "as they were": hashing.speed(given.photos, rounds)}
        bits = hashing.agreement([*files, *given.photos])
        return [*_rates(rates, files, given.photos), "", *_agreement(bits, len(files) + len(given.photos))]


def _near_pairs(given: _Given) -> list[str]:
    found = [near_pairs.ours(count, 3) for count in ((20_000,) if given.quick else (1_000_000, 10_000_000))]
    return _pairs(found + near_pairs.peers(*((2_000, 2_000, 1_000) if given.quick else (1_000_000, 100_000, 10_000))))


def _robustness(given: _Given) -> list[str]:
    images = [pixels(path) for path in given.photos]
    moved = robustness.measure(images)
    return [
        *_moved(moved, len(images)),
        *given.drawn("robustness.png", "Distances after each edit", partial(drawing.robustness, moved)),
        *given.drawn(
            "duplicates.jpg",
            "A group of duplicates by dHash within 5 bits: the picture that is kept, those that go with their distance "
            "to it, and in gray the edits that are too far",
            partial(drawing.duplicates, images),
        ),
    ]


def _denoising(given: _Given) -> list[str]:
    choosing, measuring = given.halves
    return [
        *_denoise_speed(quick=given.quick),
        "",
        *_denoised(denoising.measure(choosing, measuring)),
        *given.drawn(
            "denoising.jpg",
            "A SKU before and after denoising; what each picture is, and what denoising says",
            partial(drawing.denoised, measuring),
        ),
    ]


def _merging(given: _Given) -> list[str]:
    choosing, measuring = given.halves
    sizes = (1_000,) if given.quick else (10_000, 70_000)
    return [
        *_merged(merging.measure(choosing, measuring, range(1 if given.quick else 5))),
        "",
        *_scaled([merging.scale(size, 5) for size in sizes]),
        *given.drawn(
            "merge.jpg",
            "A merged group, a row for each SKU; red: taken for another SKU by a classifier that had not seen it",
            partial(drawing.merged, measuring),
        ),
    ]


_PARTS: Final[Mapping[str, Callable[[_Given], list[str]]]] = {
    "hashing": _hashing,
    "near pairs": _near_pairs,
    "robustness": _robustness,
    "denoising": _denoising,
    "merging": _merging,
}


def _rates(rates: Mapping[str, Mapping[str, float]], files: Sequence[Path], photos: Sequence[Path]) -> list[str]:
    sizes = [sum(path.stat().st_size for path in paths) / len(paths) / 1000 for paths in (files, photos)]
    ways = list(next(iter(rates.values())))
    rows = [[way] + [f"{of[way]:.0f} ({of[ways[0]] / of[way]:.1f} x)" for of in rates.values()] for way in ways]
    what = f"{len(files)} photos as JPEG files of 640 x 480 ({sizes[0]:.0f} kB), and as they were ({sizes[1]:.0f} kB)"
    return [
        f"{what}. Images/s, from the disk's cache, and how many times as fast we are:",
        "",
        *table(["way", *rates], rows),
    ]


def _agreement(bits: Mapping[str, tuple[float, int]], files: int) -> list[str]:
    head = ["hash", "mean bits from imagehash's", "largest"]
    rows = [[name, f"{mean:.2f}", str(largest)] for name, (mean, largest) in bits.items()]
    return [
        f"The same hashes, of {files} files (those, and the photos that they were made of):",
        "",
        *table(head, rows),
    ]


def _pairs(found: list[near_pairs.Found]) -> list[str]:
    rows = [
        [
            each.way,
            f"{each.hashes:,}",
            f"{each.seconds:.2f}",
            f"{each.cpu_seconds:.2f}",
            f"{each.pairs:,}",
            "" if each.gigabytes is None else f"{each.gigabytes:.2f}",
            "yes" if each.exact else "no",
        ]
        for each in found
    ]
    head = ["way", "hashes", "seconds", "processor seconds", "pairs <= 5 bits", "more GB", "exact"]
    return [
        "Exact: all pairs of 300 hashes are those of brute force; of peers: as many pairs as ours. Two threads, the "
        "others as they come.",
        "",
        *table(head, rows),
    ]


def _moved(moved: Mapping[str, Mapping[str, robustness.Moved]], photos: int) -> list[str]:
    head = ["edit", *(f"{name}: median / 95 % / within 5 bits" for name in hashing.HASHES)]
    rows = [
        [edit, *(f"{each.median:.0f} / {each.far:.0f} / {each.within:.0%}" for each in by_hash.values())]
        for edit, by_hash in moved.items()
    ]
    return [f"{photos} photos; distances in bits to the hash before the edit.", "", *table(head, rows)]


def _denoise_speed(*, quick: bool) -> list[str]:
    found = denoising.speed(50 if quick else 2_000, 3, DenoiseRule().eps)
    rows = [
        ["shiwu", f"{found.ours:.0f}", ""],
        ["scikit-learn DBSCAN, cosine", f"{found.sklearn:.0f}", f"{found.ours / found.sklearn:.1f} x"],
    ]
    return [
        f"{found.skus:,} SKUs of 5 to 500 pictures; labels equal for {found.equal:,}.",
        "",
        *table(["way", "SKUs/s", "shiwu is faster"], rows),
    ]


def _denoised(measured: Mapping[str, denoising.Measured]) -> list[str]:
    sources = list(next(iter(measured.values())).by_source)
    head = [
        "method",
        "chosen",
        "precision",
        "recall",
        "F1",
        "F1, mean of sources",
        *(f"F1: {each}" for each in sources),
    ]
    head += [f"{kind} left" for kind in denoising.KINDS[1:]]
    rows = [
        [
            name,
            ", ".join(f"{key} {value}" for key, value in each.options.items()),
            f"{each.score.precision:.3f}",
            f"{each.score.recall:.3f}",
            f"{each.score.f1:.3f}",
            f"{each.f1:.3f}",
            *(f"{each.by_source[source].f1:.3f}" for source in sources),
            *(f"{each.score.left.get(kind, 0.0):.0%}" for kind in denoising.KINDS[1:]),
        ]
        for name, each in measured.items()
    ]
    return table(head, rows)


def _merged(measured: Mapping[str, merging.Measured]) -> list[str]:
    sources = list(next(iter(measured.values())).by_source)
    head = ["method", "chosen", "precision", "recall", "F1", *(f"P / R: {each}" for each in sources)]
    rows = [
        [
            name,
            each.chosen,
            f"{each.pairs.precision:.3f}",
            f"{each.pairs.recall:.3f}",
            f"{each.pairs.f1:.3f}",
            *(f"{each.by_source[source].precision:.2f} / {each.by_source[source].recall:.2f}" for source in sources),
        ]
        for name, each in measured.items()
    ]
    return table(head, rows)


def _scaled(found: list[merging.Scale]) -> list[str]:
    head = ["SKUs", "pictures", "rounds", "seconds", "processor seconds", "more GB", "precision", "recall"]
    rows = [
        [
            f"{each.skus:,}",
            f"{each.pictures:,}",
            str(each.rounds),
            f"{each.seconds:.0f}",
            f"{each.cpu_seconds:.0f}",
            f"{each.gigabytes:.1f}",
            f"{each.pairs.precision:.3f}",
            f"{each.pairs.recall:.3f}",
        ]
        for each in found
    ]
    return ["Synthetic vectors of 256 numbers, well apart: this is about cost.", "", *table(head, rows)]


if __name__ == "__main__":
    main()

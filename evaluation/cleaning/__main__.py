"""Cleaning beside its peers: hashing, near pairs, robustness of hashes, denoising, merging.

python -m evaluation.cleaning [--data DIR] [--models DIR] [--page FILE] [--quick]

--data: the folder of the image sets, of which only products are used that the embedder never saw; without it, pictures
of packages and drawn ones only. Every threshold, ours and the peers', is chosen on one half of the styles and measured
on the other. Speed is processor time on one thread, median of interleaved rounds; pairs and merging tell both clocks.
--page: whose section is written anew, and the pictures in the folder of its name.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date
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

_CACHE: Final = Path(".cache")
_SECTION: Final = "measured"


def main() -> None:
    """Prints every part when it is done."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.cleaning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the image sets")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--page", type=Path, help="page whose section, and pictures beside it, are written anew")
    parser.add_argument("--quick", action="store_true", help="little of everything, in a minute")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    console, lines = Console(width=160), list[str]()
    pictures = options.page.with_suffix("") if options.page else None
    if pictures:
        pictures.mkdir(exist_ok=True)
    with threadpool_limits(limits=1, user_api="blas"):
        known = embedded(
            shown(options.data, _CACHE / "demo", quick=options.quick),
            options.models / "embedder-lite0",
            _CACHE / "cleaning",
        )
        for part in _parts(known, pictures, quick=options.quick):
            console.print(Markdown("\n".join(part)))
            lines += [*part, ""]
    if options.page:
        today = date.today().isoformat()  # noqa: DTZ011 (a day is enough)
        command = "python -m evaluation.cleaning" + (" --data DATA" if options.data else "")
        machine = f"{today}, {os.cpu_count()} shared {platform.machine()} cores"
        write_section(options.page, _SECTION, [f"`{command}`, {machine}.", "", *lines[:-1]])


def _parts(known: Known, pictures: Path | None, *, quick: bool) -> Iterator[list[str]]:
    yield from _of_hashes(pictures, quick=quick)
    choosing, measuring = halves(known)
    yield ["## Denoising, speed", "", *_denoise_speed(quick=quick)]
    denoised = denoising.measure(choosing, measuring)
    yield ["## Denoising, accuracy", "", *_denoised(denoised)]
    merged = merging.measure(choosing, measuring, range(1 if quick else 5))
    yield ["## Merging", "", *_merged(merged)]
    sizes = (1_000,) if quick else (10_000, 70_000)
    yield ["## Merging many SKUs", "", *_scaled([merging.scale(size, 5) for size in sizes])]
    if pictures:
        drawing.denoised(measuring, None, pictures / "denoising.jpg")
        drawing.merged(measuring, pictures / "merge.jpg")
        yield [
            "## Drawn",
            "",
            "A group of duplicates by dHash within 5 bits: the picture that is kept, the others with their distance in "
            "bits, and in gray the edits that are too far:",
            "",
            f"![a group of duplicates]({pictures.name}/duplicates.jpg)",
            "",
            "A SKU before and after denoising; what each picture is, and what denoising says:",
            "",
            f"![a SKU before and after denoising]({pictures.name}/denoising.jpg)",
            "",
            "A merged group, a row for each SKU; red: taken for another SKU by a classifier that had not seen it:",
            "",
            f"![a merged group]({pictures.name}/merge.jpg)",
        ]


def _of_hashes(pictures: Path | None, *, quick: bool) -> Iterator[list[str]]:
    photos = [each.picture for each in fetch(_CACHE / "demo")][: 12 if quick else None]
    with tempfile.TemporaryDirectory() as folder:
        files = hashing.as_photos(photos, Path(folder))
        rates, bits = hashing.speed(files, 2 if quick else 9), hashing.agreement([*files, *photos])
    yield ["## Hashing", "", *_rates(rates), "", *_agreement(bits, len(files) + len(photos))]
    found = [near_pairs.ours(count, 3) for count in ((20_000,) if quick else (1_000_000, 10_000_000))]
    found += near_pairs.peers(*((2_000, 2_000, 1_000) if quick else (1_000_000, 100_000, 10_000)))
    yield ["## Near pairs", "", *_pairs(found)]
    images = [pixels(path) for path in photos]
    moved = robustness.measure(images)
    yield ["## Robustness", "", *_moved(moved, len(images), pictures)]
    if pictures:
        drawing.robustness(moved, pictures / "robustness.png")
        drawing.duplicates(images, pictures / "duplicates.jpg")


def _rates(rates: Mapping[str, float]) -> list[str]:
    own = next(iter(rates.values()))
    rows = [[way, f"{rate:.0f}", "" if rate == own else f"{own / rate:.1f} x"] for way, rate in rates.items()]
    return ["JPEG files of 640 x 480, read from disk:", "", *table(["way", "images/s", "shiwu is faster"], rows)]


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


def _moved(moved: Mapping[str, Mapping[str, robustness.Moved]], photos: int, pictures: Path | None) -> list[str]:
    head = ["edit", *(f"{name}: median / 95 % / within 5 bits" for name in hashing.HASHES)]
    rows = [
        [edit, *(f"{each.median:.0f} / {each.far:.0f} / {each.within:.0%}" for each in by_hash.values())]
        for edit, by_hash in moved.items()
    ]
    lines = [f"{photos} photos; distances in bits to the hash before the edit.", "", *table(head, rows)]
    return [*lines, "", f"![distances after each edit]({pictures.name}/robustness.png)"] if pictures else lines


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

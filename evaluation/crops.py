"""What searching for the detector's crop, the centre, the whole photo and the best of them by score is worth.

python -m evaluation.crops --data DIR [--count N] [--seed S] [--models DIR] [--limit N] [--page FILE] [--json]

On photos of products that the choice was not fitted to (evaluation.photo_sets). Detector, embedder, crops and choice
are the services' own code; pictures are compared with all of the catalogue's. R@1 and mAP are by similarity, before
re-ranking. --page writes the table below the mark in a page, and bars beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import cv2
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from evaluation.looking import Looked, Looker
from evaluation.metrics import interval, retrieval
from evaluation.photo_sets import PhotoSet, measuring_sets
from evaluation.region_fitting import pick
from evaluation.stages import Stages
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.inference.tuning import RegionKind, RegionRule

_CACHE: Final = Path(".cache/demo")
_MARK: Final = "<!-- measured -->\n"
_BARS: Final = ("detector's box", "whole", "centre", "first", "best by score", "oracle")


def main() -> None:
    """Prints a table, or a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--count", type=int, default=1000, help="flat covers")
    parser.add_argument("--seed", type=int, default=1, help="of the flat covers")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--limit", type=int, help="at most so many photos of a set")
    parser.add_argument("--page", type=Path, help="page whose table, and bars beside it, are written anew")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sets = measuring_sets(options.data, _CACHE, options.count, options.seed)
    with threadpool_limits(limits=1, user_api="blas"):
        figures = asyncio.run(_measured([each.limited(options.limit) for each in sets], options.models))
    if options.page:
        _write(figures, options.page)
    if options.json:
        print(json.dumps(figures))
    else:
        _print(figures)


async def _measured(sets: Sequence[PhotoSet], models: Path) -> dict[str, Any]:
    stages = Stages(models / DETECTOR, models / EMBEDDER)
    tuning = stages.embedder.manifest.tuning
    looker = Looker(stages)
    rows = {photos.name: _row(await looker.look(photos), tuning.regions if tuning else None) for photos in sets}
    return {"detector": stages.detector.id, "embedder": stages.embedder.model.id, "sets": rows}


def _row(looked: Sequence[Looked], rule: RegionRule | None) -> dict[str, Any]:
    picked = [None if rule is None else pick(each, rule) for each in looked]
    ranks: dict[str, list[int]] = {}
    for each, place in zip(looked, picked, strict=True):
        for name, rank in _ranks(each, place or 0).items():
            ranks.setdefault(name, []).append(rank)
    ways = {
        name: retrieval(found).as_json()
        | {"recall@1_interval": [round(end, 4) for end in interval([rank == 1 for rank in found])]}
        for name, found in ranks.items()
    }
    return {
        "photos": len(looked),
        "looked_further": round(float(np.mean([place is not None for place in picked])), 4),
        "taken": {
            kind: round(
                float(np.mean([each.regions[i or 0].kind == kind for each, i in zip(looked, picked, strict=True)])), 4
            )
            for kind in get_args(RegionKind)
        },
        "ways": ways,
    }


def _ranks(looked: Looked, taken: int) -> dict[str, int]:
    """Of the right product, by what is searched for.

    Where the detector finds nothing, its box is the centre. A product's mean similarity is its similarity to the mean
    vector, if it has one picture.
    """
    place = {region.kind: i for i, region in enumerate(looked.regions)}
    by_region = [looked.rank(similarities) for similarities in looked.similarities]
    alone = looked.similarities[[i for i, region in enumerate(looked.regions) if region.kind != "middle"]]
    first_and_centre = looked.similarities[[0, place["centre"]]]
    return {
        "detector's box": by_region[place.get("detected", place["centre"])],
        "whole": by_region[place["whole"]],
        "centre": by_region[place["centre"]],
        "first": by_region[0],
        "first and its middle": by_region[place["middle"]],
        "best by score": by_region[taken],
        "mean of first and centre": looked.rank(first_and_centre.mean(axis=0)),
        "mean of all": looked.rank(alone.mean(axis=0)),
        "maximum of all": looked.rank(alone.max(axis=0)),
        "oracle": min(by_region),
    }


def _print(figures: dict[str, Any]) -> None:
    title = f"R@1 / mAP; {figures['detector']}, {figures['embedder']}"
    ways = list(next(iter(figures["sets"].values()))["ways"])
    table = Table("photos", "", *ways, "looked further", title=title, title_justify="left")
    for name, row in figures["sets"].items():
        shares = [f"{each['recall@1']:.3f} / {each['map']:.3f}" for each in row["ways"].values()]
        table.add_row(name, str(row["photos"]), *shares, f"{row['looked_further']:.2f}")
    Console(width=220).print(table)


def _write(figures: dict[str, Any], page: Path) -> None:
    ways = list(next(iter(figures["sets"].values()))["ways"])
    lines = [
        f"{figures['detector']}, {figures['embedder']}. R@1 / mAP:",
        "",
        _line(["photos", "", *ways, "looked further"]),
    ]
    lines.append("|---" * (len(ways) + 3) + "|")
    for name, row in figures["sets"].items():
        shares = [f"{each['recall@1']:.3f} / {each['map']:.3f}" for each in row["ways"].values()]
        lines.append(_line([name, str(row["photos"]), *shares, f"{row['looked_further']:.0%}"]))
    bars = page.with_suffix(".png")
    lines += ["", f"![bars of R@1]({bars.name})", ""]
    before = page.read_text(encoding="utf-8").partition(_MARK)[0]
    page.write_text(f"{before}{_MARK}\n" + "\n".join(lines), encoding="utf-8")
    _draw(figures, bars)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _draw(figures: dict[str, Any], path: Path) -> None:
    """R@1 with 95 % intervals, a group of bars for each set."""
    figure = Figure(figsize=(13, 5))
    axes = figure.subplots()
    places = np.arange(len(figures["sets"]))
    for i, way in enumerate(_BARS):
        rows = [row["ways"][way] for row in figures["sets"].values()]
        heights = np.array([row["recall@1"] for row in rows])
        ends = np.array([row["recall@1_interval"] for row in rows]).T
        spread = np.maximum(np.abs(ends - heights), 0)
        left = places + (i - len(_BARS) / 2 + 0.5) * 0.8 / len(_BARS)
        axes.bar(left, heights, 0.8 / len(_BARS), yerr=spread, label=way, error_kw={"lw": 0.6})
    names = [name.replace(", ", ",\n").replace(" (", "\n(") for name in figures["sets"]]
    axes.set_xticks(places, names, fontsize=7)
    axes.set_ylabel("R@1")
    axes.legend(ncols=len(_BARS), fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.1))
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()

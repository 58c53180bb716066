"""`python -m offline.training.detector.ablation`: heads, losses and pictures of the detector on one small budget.

Every row starts from ImageNet's backbone and differs from the first in one thing. Finished runs stand in a ledger
beside the page, so that a run that was cut goes on; the page's measured part and its picture follow every run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any, Final, NamedTuple

import cv2
from matplotlib.figure import Figure as Drawing
from tqdm import tqdm

from offline.training.detector.config import Recipe
from offline.training.detector.evaluate import Released, measure_boxes
from offline.training.detector.export import release
from offline.training.detector.library import Library, load_library
from offline.training.detector.measures import Figure
from offline.training.detector.model import Detector
from offline.training.detector.train import CHECKPOINT, Trainer
from shiwu.inference.released import DETECTOR

_START: Final = "<!-- measured -->"
_END: Final = "<!-- /measured -->"
_HELD_OUT: Final = 0.7
"""Of the photos with drawn boxes: a comparison needs photos to test on more than it needs the best detector."""
_EMA: Final = 0.97
_MIN_SCORE: Final = 0.2
_NMS_IOU: Final = 0.5


class Budget(NamedTuple):
    """What every row may cost."""

    steps: int
    size: int
    """Side of the input, pixels; the row of 512 px has its own."""
    seeds: int


@dataclass(frozen=True, slots=True)
class Row:
    """What it changes of the reference recipe."""

    name: str
    title: str
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)


ROWS: Final = (
    Row("quality", "Anchors, quality focal loss (the reference)"),
    Row("focal", "Anchors, focal loss (alpha .25, gamma 2)", {"loss": {"objectness": "focal"}}),
    Row("cross-entropy", "Anchors, cross-entropy", {"loss": {"objectness": "cross-entropy"}}),
    Row("points", "Anchor-free points, quality focal loss", {"model": {"head": "points"}}),
    Row("one-scale", "Without multi-scale", {"pictures": {"multi_scale": False}}),
    Row("unbalanced", "Without category balance", {"pictures": {"balance": False}}),
    Row("512", "512 px", {"model": {"size": 512}}),
)
COLUMNS: Final = {
    "photos: best box": "photos, main object over 2 %: best box",
    "photos: best 3": "photos, main object over 2 %: one of best 3",
    "photos: above threshold": "photos, main object over 2 %: one of those above the threshold",
    "photos: AP@.5": "photos: AP@.5 any category",
    "photos: AP@[.5:.95]": "photos: AP@[.5:.95] any category",
    "photos: mAP@.5": "photos: mAP@.5",
    "composites: best box": "composites of unseen cut-outs: best box",
    "composites: AP@.5": "composites of unseen cut-outs: AP@.5 any category",
    "small composites: best box": "composites of small unseen cut-outs: best box",
}
"""Heads of the table and the figures under them."""
_DRAWN: Final = ("photos: best box", "photos: AP@.5", "composites: best box")


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished run."""

    key: str
    row: str
    seed: int
    minutes: float
    milliseconds: float
    """A picture, at one thread."""
    relative: float
    """Time against the released model's, in turns with it."""
    figures: dict[str, Figure]


def recipe_of(row: Row, seed: int, budget: Budget) -> Recipe:
    values: dict[str, dict[str, Any]] = {
        "data": {"held_out": _HELD_OUT},
        "model": {"size": budget.size},
        "optimisation": {"steps": budget.steps, "warmup": max(1, budget.steps // 10), "ema": _EMA},
    }
    for part, change in row.changes.items():
        values[part] = {**values.get(part, {}), **change}
    return Recipe.model_validate({"seed": seed, **values})


def key_of(recipe: Recipe) -> str:
    """The same for equal recipes."""
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:12]


def read_ledger(path: Path) -> dict[str, Entry]:
    """Entries by key; none when there is no file."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    entries = [
        Entry(**{**row, "figures": {name: Figure(**figure) for name, figure in row["figures"].items()}}) for row in rows
    ]
    return {entry.key: entry for entry in entries}


def add_to_ledger(path: Path, entry: Entry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(entry)) + "\n")


def averages(entries: Sequence[Entry]) -> dict[str, Figure]:
    """Each figure and its interval, mean over the seeds."""
    found: dict[str, Figure] = {}
    for name, first in entries[0].figures.items():
        each = [entry.figures[name] for entry in entries]
        value, low, high = (mean(getattr(figure, part) for figure in each) for part in ("value", "low", "high"))
        found[name] = Figure(value, low, high, first.count)
    return found


def table(measured: Mapping[str, Sequence[Entry]]) -> str:
    """Markdown; rows in the order of ROWS, those without a run left out."""
    heads = ["row", *COLUMNS, "ms (of the released)", "min", "seeds"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in ROWS:
        entries = measured.get(row.name)
        if not entries:
            continue
        figures = averages(entries)
        cells = [f"{f.value:.3f} [{f.low:.2f}, {f.high:.2f}]" for f in (figures[name] for name in COLUMNS.values())]
        took = f"{mean(e.milliseconds for e in entries):.1f} ({mean(e.relative for e in entries):.2f})"
        minutes = f"{mean(e.minutes for e in entries):.1f}"
        lines.append("| " + " | ".join([row.title, *cells, took, minutes, str(len(entries))]) + " |")
    return "\n".join(lines)


def draw_bars(measured: Mapping[str, Sequence[Entry]], out: Path) -> None:
    """The most telling figures of every row, with their intervals."""
    rows = [row for row in ROWS if measured.get(row.name)]
    figures = [averages(measured[row.name]) for row in rows]
    drawing = Drawing(figsize=(12, 1.2 + 0.42 * len(rows)), layout="constrained")
    panels = drawing.subplots(1, len(_DRAWN), sharey=True)
    for panel, head in zip(panels, _DRAWN, strict=True):
        values = [each[COLUMNS[head]] for each in figures]
        errors = [[f.value - f.low for f in values], [f.high - f.value for f in values]]
        panel.barh(range(len(rows)), [f.value for f in values], xerr=errors, color="#2c7fb8", ecolor="#555555")
        panel.set(xlabel=head)
        panel.set_xlim(left=0)
        panel.grid(axis="x", alpha=0.4)
    panels[0].set_yticks(range(len(rows)), [row.title for row in rows])
    panels[0].invert_yaxis()
    drawing.savefig(out, dpi=80)


def main() -> None:
    options = _options()
    cv2.setNumThreads(0)
    budget = Budget(*options.budget)
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    if not options.report_only:
        library = load_library(options.data, options.stamps, options.mattes, _HELD_OUT)
        for seed in range(budget.seeds):
            for row in tqdm(rows, desc=f"ablation, seed {seed}", unit="run"):
                _finish(row, seed, budget, library, options)
                report(budget, options)
    report(budget, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offline.training.detector.ablation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--stamps", type=Path, help="folder of stamps with alpha (package tuxpaint-stamps-default)")
    parser.add_argument(
        "--budget", type=int, nargs=3, metavar=("STEPS", "SIZE", "SEEDS"), default=(150, 320, 1), help="of every row"
    )
    parser.add_argument("--rows", nargs="*", default=(), choices=[row.name for row in ROWS])
    parser.add_argument("--model", type=Path, default=Path("models", DETECTOR), help="released, for the times")
    parser.add_argument("--runs", type=Path, default=Path("runs/detector-ablation"), help="folder of the runs")
    parser.add_argument("--mattes", type=Path, default=Path("runs/detector/mattes.npz"), help="cache of derived boxes")
    parser.add_argument("--out", type=Path, default=Path("docs/detector.md"), help="page; picture and ledger beside it")
    parser.add_argument("--report-only", action="store_true", help="write what the ledger has, train nothing")
    return parser.parse_args()


def _finish(row: Row, seed: int, budget: Budget, library: Library, options: argparse.Namespace) -> None:
    """Trains and measures a row unless the ledger has it."""
    recipe = recipe_of(row, seed, budget)
    key, ledger = key_of(recipe), options.out.with_suffix(".jsonl")
    if key in read_ledger(ledger):
        return
    started = time.monotonic()
    folder = options.runs / f"{row.name}-{seed}-{key}"
    trainer = Trainer(recipe)
    if (folder / CHECKPOINT).exists():
        trainer.load(folder / CHECKPOINT)
    net = trainer.run(library, folder)
    minutes = (time.monotonic() - started) / 60
    release(Detector(net), recipe.model, folder, "0", _MIN_SCORE, _NMS_IOU)
    model, released = Released(folder), Released(options.model)
    took, reference = model.milliseconds(beside=released)
    entry = Entry(key, row.name, seed, round(minutes, 2), took, took / reference, measure_boxes(model, library))
    add_to_ledger(ledger, entry)


def report(budget: Budget, options: argparse.Namespace) -> None:
    """Replaces the measured part of the page and its picture by what the ledger has of this budget."""
    ledger = read_ledger(options.out.with_suffix(".jsonl"))
    keys = {row.name: [key_of(recipe_of(row, seed, budget)) for seed in range(budget.seeds)] for row in ROWS}
    measured = {name: [ledger[key] for key in each if key in ledger] for name, each in keys.items()}
    done = [entry for entries in measured.values() for entry in entries]
    if not done:
        return
    picture = options.out.with_suffix(".png")
    draw_bars(measured, picture)
    counts = {name: figure.count for name, figure in done[0].figures.items()}
    steps, size, seeds = budget
    text = "\n\n".join(
        [
            _START,
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} {platform.machine()} cores shared with other work, one "
            "thread; `python -m offline.training.detector.ablation --data DATA --stamps STAMPS --budget "
            f"{steps} {size} {seeds}`: {len(done)} finished runs. Photos: "
            f"{counts[COLUMNS['photos: AP@.5']]} COCO photos that no run was trained on, "
            f"{counts[COLUMNS['photos: best box']]} of them with a main object over 2 %. Composites: "
            f"{counts[COLUMNS['composites: best box']]} of cut-outs never trained on. Intervals are 95 % bootstraps "
            "over pictures.",
            f"![bars]({picture.name})",
            table(measured),
            _END,
        ]
    )
    page = options.out.read_text(encoding="utf-8") if options.out.exists() else f"{_START}{_END}\n"
    before, after = page.split(_START)[0], page.split(_END)[1]
    options.out.write_text(before + text + after, encoding="utf-8")


if __name__ == "__main__":
    main()

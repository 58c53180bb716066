"""`python -m offline.training.ablation --data DIR`: each direction with and without; writes docs/experiments.md."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import torch
from tqdm import tqdm

from offline.training.ablation.ledger import Entry, add_to_ledger, read_ledger
from offline.training.ablation.report import comparisons, draw_bars, summary, table
from offline.training.ablation.rows import ROWS, Budget, Row, chosen_rows, experiment_of, folder_name, key_of
from offline.training.items import Item
from offline.training.metric.config import Experiment
from offline.training.metric.loaders import load_sets
from offline.training.metric.run import CHECKPOINT, run
from offline.training.speed import keep_memory

_START, _END = "<!-- measured -->", "<!-- /measured -->"


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    keep_memory()
    budget = Budget(*options.budget)
    work = [(row, seed) for seed in range(budget.seeds) for row in chosen_rows(options.rows)]
    if not options.report_only:
        items = load_sets(options.data, Experiment(name="any").data.sets)
        for row, seed in tqdm(work, desc="ablation", unit="run", mininterval=10):
            _finish(row, seed, budget, items, options.runs, _ledger(options))
            _report(budget, options)
    _report(budget, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offline.training.ablation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the image sets")
    parser.add_argument(
        "--budget", type=int, nargs=3, metavar=("STEPS", "SIZE", "SEEDS"), default=(100, 96, 3), help="of every row"
    )
    parser.add_argument("--rows", nargs="*", default=(), help=f"some of: {' '.join(row.name for row in ROWS)}")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="folder of the runs (resumed)")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/experiments.md"), help="page; picture and ledger beside it"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report-only", action="store_true", help="write what the ledger has, train nothing")
    return parser.parse_args()


def _ledger(options: argparse.Namespace) -> Path:
    """Beside the page whose figures it holds, so that both are kept together."""
    page: Path = options.out
    return page.with_suffix(".jsonl")


def _finish(row: Row, seed: int, budget: Budget, items: tuple[Item, ...], runs: Path, ledger: Path) -> None:
    """Runs a row unless the ledger has it."""
    experiment = experiment_of(row, seed, budget, runs)
    key = key_of(experiment)
    if key in read_ledger(ledger):
        return
    started = time.monotonic()
    folder = runs / folder_name(experiment)
    report = run(experiment, items, folder)
    add_to_ledger(ledger, Entry.of(key, row.name, seed, (time.monotonic() - started) / 60, report))
    if row.name not in {other.teacher for other in ROWS}:
        # 30 MB a run, and the table needs none of them.
        (folder / CHECKPOINT).unlink(missing_ok=True)


def _report(budget: Budget, options: argparse.Namespace) -> None:
    """Replaces the measured part of the page and its picture by what the ledger has of this budget."""
    ledger = read_ledger(_ledger(options))
    measured: dict[str, dict[int, Entry]] = defaultdict(dict)
    for row in ROWS:
        for seed in range(budget.seeds):
            entry = ledger.get(key_of(experiment_of(row, seed, budget, options.runs)))
            if entry is not None:
                measured[row.name][seed] = entry
    found = comparisons(ROWS, measured)
    picture = options.out.with_suffix(".png")
    draw_bars(found, picture)
    steps, size, seeds = budget
    text = "\n\n".join(
        [
            _START,
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} {platform.machine()} cores shared with other work, "
            f"{options.threads} thread; `python -m offline.training.ablation --data DATA --budget {steps} {size} "
            f"{seeds}`: {sum(map(len, measured.values()))} finished runs.",
            f"![bars]({picture.name})",
            summary(found),
            table(found),
            _END,
        ]
    )
    page = options.out.read_text(encoding="utf-8") if options.out.exists() else f"{_START}{_END}\n"
    before, after = page.split(_START)[0], page.split(_END)[1]
    options.out.write_text(before + text + after, encoding="utf-8")


if __name__ == "__main__":
    main()

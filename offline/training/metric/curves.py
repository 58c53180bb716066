"""Curves of a run as a picture."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure


def draw_curves(metrics: Path, out: Path) -> None:
    """One panel each for the training losses, the validation losses and, where they move, the tasks' weights.

    metrics: a CSV file with a column `step` and one per `group/name`, empty where nothing was measured.
    """
    curves: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    with metrics.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for column, value in row.items():
                group, slash, name = column.partition("/")
                if slash and value:
                    curves[group][name].append((int(row["step"]), float(value)))
    figure = Figure(figsize=(5 * max(1, len(curves)), 4), layout="constrained")
    panels = figure.subplots(1, max(1, len(curves)), squeeze=False)[0]
    for panel, (group, lines) in zip(panels, sorted(curves.items()), strict=False):
        for name, points in sorted(lines.items()):
            panel.plot(*zip(*points, strict=True), label=name)
        panel.set(title=group, xlabel="step")
        panel.legend(fontsize="small")
    figure.savefig(out, dpi=100)

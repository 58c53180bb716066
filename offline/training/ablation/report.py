"""The table and the bars of the ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

from offline.training.ablation.ledger import Entry
from offline.training.ablation.rows import Row

Measured = Mapping[str, Mapping[int, Entry]]
"""Finished runs by row and seed."""


@dataclass(frozen=True)
class Comparison:
    """A direction with and without it, over the seeds that both have; each value is the mean over the probes."""

    row: Row
    seeds: int
    without: tuple[float, float]
    """Recall@1 and mAP."""
    with_it: tuple[float, float]
    recall_gains: tuple[float, ...]
    """Per seed."""
    map_gains: tuple[float, ...]
    per_probe: dict[str, float]
    """Gain in recall@1 of every probe, mean over the seeds."""
    minutes: float

    @property
    def verdict(self) -> str:
        """Recall and mAP of three seeds have to agree in sign; by chance they do one time in four or less often."""
        if self.seeds < 3:
            return "open"
        gains = (*self.recall_gains, *self.map_gains)
        if all(gain > 0 for gain in gains):
            return "helps"
        return "hurts" if all(gain < 0 for gain in gains) else "no clear effect"


def comparisons(rows: Sequence[Row], measured: Measured) -> list[Comparison]:
    """Every row that is compared with another, where both have finished for a seed at least."""
    found = []
    for row in rows:
        own, other = measured.get(row.name, {}), measured.get(row.against or "", {})
        seeds = sorted(own.keys() & other.keys())
        if not seeds:
            continue
        pairs = [(other[seed], own[seed]) for seed in seeds]
        scores = [(_score(a), _score(b)) for a, b in pairs]
        found.append(
            Comparison(
                row=row,
                seeds=len(seeds),
                without=(mean(a[0] for a, _ in scores), mean(a[1] for a, _ in scores)),
                with_it=(mean(b[0] for _, b in scores), mean(b[1] for _, b in scores)),
                recall_gains=tuple(b[0] - a[0] for a, b in scores),
                map_gains=tuple(b[1] - a[1] for a, b in scores),
                per_probe={p: mean(b.recall_1[p] - a.recall_1[p] for a, b in pairs) for p in pairs[0][0].recall_1},
                minutes=mean(b.minutes for _, b in pairs),
            )
        )
    return found


def _score(entry: Entry) -> tuple[float, float]:
    return mean(entry.recall_1.values()), mean(entry.map.values())


def table(found: Sequence[Comparison]) -> str:
    """Markdown."""
    probes = list(found[0].per_probe) if found else []
    heads = ["direction", "against", "R@1", "mAP", *(f"R@1 {p}" for p in probes), "seeds", "min", "verdict"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for c in found:
        cells = [
            c.row.title,
            str(c.row.against),
            f"{c.without[0]:.3f} → {c.with_it[0]:.3f} ({_gains(c.recall_gains)})",
            f"{c.without[1]:.3f} → {c.with_it[1]:.3f} ({_gains(c.map_gains)})",
            *(f"{gain:+.3f}" for gain in c.per_probe.values()),
            str(c.seeds),
            f"{c.minutes:.1f}",
            c.verdict,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(found: Sequence[Comparison]) -> str:
    """The directions by their verdicts, as Markdown."""
    lines = []
    for verdict in ("helps", "hurts", "no clear effect", "open"):
        titles = [c.row.title for c in found if c.verdict == verdict]
        if titles:
            lines.append(f"- {verdict}: {'; '.join(titles)}")
    return "\n".join(lines)


def _gains(gains: Sequence[float]) -> str:
    return ", ".join(f"{gain:+.3f}" for gain in gains)


def draw_bars(found: Sequence[Comparison], out: Path) -> None:
    """Recall@1 and mAP of every direction, without it and with it."""
    figure = Figure(figsize=(12, 1.2 + 0.42 * len(found)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    places = range(len(found))
    for panel, index, title in zip(panels, (0, 1), ("recall@1", "mAP"), strict=True):
        panel.barh([p - 0.2 for p in places], [c.without[index] for c in found], 0.4, label="without", color="#bbbbbb")
        panel.barh([p + 0.2 for p in places], [c.with_it[index] for c in found], 0.4, label="with", color="#2c7fb8")
        panel.set(xlabel=f"{title}, mean over the probes")
        values = [value for c in found for value in (c.without[index], c.with_it[index])]
        # The axis does not start at 0, or no difference would show; it says so.
        panel.set_xlim(0.95 * min(values, default=0), 1.02 * max(values, default=1))
        panel.grid(axis="x", alpha=0.4)
    panels[0].set_yticks(list(places), [f"{c.row.title} ({c.seeds})" for c in found])
    panels[0].margins(y=0.01)
    panels[0].invert_yaxis()
    panels[1].legend(loc="lower right")
    figure.suptitle("Without and with each direction; seeds in brackets; the axes do not start at 0")
    figure.savefig(out, dpi=90)

"""The figures of tuning. Each says below what data, models and machine it is of, and when it was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from evaluation.calibration import AcceptCurve, Bin

_GRAY: Final = "#bbbbbb"
_BLUE: Final = "#2c7fb8"
_RED: Final = "#d95f0e"


def _save(figure: Figure, caption: str, out: Path) -> None:
    figure.supxlabel(caption, fontsize=8, color="#555555")
    figure.savefig(out, dpi=90, metadata={"Software": None})


def draw_vote(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], float]], alone: float, caption: str, out: Path
) -> None:
    """curves: by parameter its values, the accuracy at each, and the value chosen. alone: the detector's accuracy."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True)
    for panel, (name, (values, accuracies, chosen)) in zip(panels, curves.items(), strict=True):
        panel.plot(values, accuracies, "o-", color=_BLUE, markersize=3, label="vote")
        panel.axhline(alone, color=_GRAY, label="detector alone")
        panel.axvline(chosen, color=_RED, linestyle=":", label="chosen")
        panel.set(xlabel=name)
        panel.grid(alpha=0.4)
    panels[0].set(ylabel="accuracy, mean of the categories")
    panels[-1].legend(loc="lower right")
    figure.suptitle(
        "Category vote: accuracy against each parameter, the others as chosen; the axis does not start at 0"
    )
    _save(figure, caption, out)


def draw_gains(rows: Sequence[tuple[str, int, float, float]], caption: str, out: Path) -> None:
    """rows: category, photos, accuracy of the detector alone and of the vote."""
    figure = Figure(figsize=(9, 1.4 + 0.36 * len(rows)), layout="constrained")
    panel = figure.subplots()
    places = range(len(rows))
    panel.barh([p - 0.2 for p in places], [row[2] for row in rows], 0.4, label="detector alone", color=_GRAY)
    panel.barh([p + 0.2 for p in places], [row[3] for row in rows], 0.4, label="vote", color=_BLUE)
    for place, (_, _, alone, vote) in zip(places, rows, strict=True):
        panel.text(max(alone, vote) + 0.01, place, f"{100 * (vote - alone):+.1f}", va="center")
    panel.set_yticks(list(places), [f"{row[0]} ({row[1]})" for row in rows])
    panel.set(xlabel="share of photos whose category comes first; photos in brackets, gain in points", xlim=(0, 1.1))
    panel.invert_yaxis()
    panel.grid(axis="x", alpha=0.4)
    figure.legend(loc="outside right upper")
    figure.suptitle("Category: the detector alone and the vote")
    _save(figure, caption, out)


def draw_rerank(gains: Mapping[str, Mapping[str, float]], chosen: str, caption: str, out: Path) -> None:
    """gains: by kind and set the gain in mean average precision over no re-ranking."""
    kinds = list(gains)
    sets = list(gains[kinds[0]])
    figure = Figure(figsize=(11, 1.6 + 0.24 * len(sets) * len(kinds)), layout="constrained")
    panel = figure.subplots()
    height = 0.8 / len(kinds)
    for i, kind in enumerate(kinds):
        panel.barh(
            [place + (i + 0.5) * height - 0.4 for place in range(len(sets))],
            [100 * gains[kind][name] for name in sets],
            height,
            label=f"{kind} (chosen)" if kind == chosen else kind,
        )
    panel.axvline(0.0, color="black", linewidth=0.8)
    panel.set_yticks(range(len(sets)), sets)
    panel.set(xlabel="gain in mean average precision over no re-ranking, points")
    panel.margins(y=0.01)
    panel.invert_yaxis()
    panel.grid(axis="x", alpha=0.4)
    panel.legend()
    figure.suptitle("Re-ranking: the best of each kind")
    _save(figure, caption, out)


def draw_acceptance(
    bins: Sequence[Bin],
    error: float,
    curves: Mapping[str, tuple[AcceptCurve, tuple[float, float]]],
    rate: float,
    caption: str,
    out: Path,
) -> None:
    """curves: by name a curve and the point that the thresholds of the categories reach. rate: the one aimed at."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=_GRAY, label="as said")
    left.plot([each.said for each in bins], [each.right for each in bins], "o-", color=_BLUE, label="measured")
    for each in bins:
        left.annotate(str(each.answers), (each.said, each.right), textcoords="offset points", xytext=(4, -10))
    left.set(xlabel="said probability", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    left.set_title(f"unseen products: expected calibration error {error:.3f}; answers at each point")
    left.grid(alpha=0.4)
    left.legend(loc="upper left")
    for (name, (curve, reached)), colour in zip(curves.items(), (_GRAY, _BLUE), strict=True):
        right.plot(curve.false_accepts, curve.answered_rightly, color=colour, label=f"{name}: one threshold for all")
        right.plot(*reached, "o", color=colour, label=f"{name}: the categories' thresholds")
    right.axvline(rate, color=_RED, linestyle=":", label="rate aimed at")
    right.set(xlabel="absent products accepted", ylabel="present products answered rightly", xlim=(0, 1), ylim=(0, 1))
    right.grid(alpha=0.4)
    right.legend(loc="lower right")
    figure.suptitle("Acceptance: is the top product right?")
    _save(figure, caption, out)

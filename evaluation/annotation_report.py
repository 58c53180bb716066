"""The tables and the curve of evaluation.annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure as Drawing

from evaluation.pages import table
from offline.training.detector.measures import Figure

_COLOURS: Final = {"supervised": "#2c7fb8", "self-training": "#d95f0e", "CAM": "#636363"}
_SUPERVISED: Final = "supervised"


@dataclass(frozen=True)
class Rates:
    """Seconds of a person's time."""

    drawn: float
    """For each box drawn."""
    confirmed: float
    """For each yes or no to a box."""


@dataclass(frozen=True)
class Entry:
    """A finished run on a set."""

    of: str
    method: str
    share: float
    """Of the pool's pictures that people looked at: boxed, or for CAM told the categories of."""
    pool: int
    """Boxes in the whole pool."""
    any_category: Figure
    """AP at IoU .5, whatever category a find names."""
    strict: Figure
    """The same, mean over IoU .5 to .95."""
    categories: Figure | None
    """Mean over the categories of the AP at IoU .5; None where detectors tell one only."""
    minutes: float
    drawn: int
    """Boxes."""
    answers: int = 0
    confirmed: int = 0
    believed: int = 0
    """Boxes of unlabelled pictures that were taken for granted or confirmed."""
    believed_right: int = 0
    rounds: list[list[Any]] = field(default_factory=list)
    """AP on the pictures held back, and verdict."""

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Entry:
        figures = {name: row[name] and Figure(**row[name]) for name in ("any_category", "strict", "categories")}
        return cls(**{**row, **figures})

    def hours(self, rates: Rates) -> float:
        """Of people's time."""
        return (self.drawn * rates.drawn + self.answers * rates.confirmed) / 3600


def equal_share(value: float, supervised: Sequence[Entry]) -> float:
    """The share of the pool to draw by hand for this AP, between the measured ones along straight lines.

    Below the least measured share the line goes to (0, 0); above what the whole pool gives, it is 1.
    """
    by_share = sorted(supervised, key=lambda each: each.share)
    shares = [0.0, *(each.share for each in by_share)]
    # More boxes never count as worse: what wavers by chance would have no inverse.
    values = np.maximum.accumulate([0.0, *(each.any_category.value for each in by_share)])
    return float(np.interp(value, values, shares))


def saved_hours(entry: Entry, supervised: Sequence[Entry], rates: Rates) -> float:
    """Against drawing as many boxes as give the same AP; negative where the detour costs more."""
    drawn = equal_share(entry.any_category.value, supervised) * entry.pool
    return drawn * rates.drawn / 3600 - entry.hours(rates)


def measured_lines(entries: Sequence[Entry], rates: Rates, machine: str, maps: Path | None = None) -> list[str]:
    """Markdown: for each set what every run found, and what it took; maps: the picture of maps beside the page."""
    lines = [
        f"{machine}; `python -m evaluation.annotation --data DIR`. Intervals are 95 % bootstraps over test pictures. "
        f"A box drawn takes {rates.drawn:g} s, a yes or no {rates.confirmed:g} s.",
        "",
        "![AP against share boxed by hand](annotation.png)",
    ]
    for of in sorted({each.of for each in entries}, reverse=True):
        own = [each for each in entries if each.of == of]
        size = f"{own[0].pool} boxes in the pool, {own[0].any_category.count} test pictures."
        lines += ["", f"### {of}", "", size, "", *_runs_table(own, rates)]
    return lines if maps is None else [*lines, "", "### What maps get wrong", "", _MAPS.format(maps.name)]


def _runs_table(entries: Sequence[Entry], rates: Rates) -> list[str]:
    supervised = [each for each in entries if each.method == _SUPERVISED]
    rows = []
    for each in sorted(entries, key=lambda entry: (entry.share, _ROWS.index(entry.method))):
        by_hand = each.method in (_SUPERVISED, "CAM")
        rows.append(
            [
                f"{each.share:.0%}",
                each.method,
                _interval(each.any_category),
                f"{each.strict.value:.3f}",
                _interval(each.categories) if each.categories else "",
                "" if by_hand else f"{_share(each.believed_right, each.believed)} of {each.believed}",
                "" if not each.answers else f"{each.confirmed} of {each.answers}",
                " ".join(f"{value:.2f}{_MARKS[verdict]}" for value, verdict in each.rounds),
                f"{each.hours(rates):.2f}",
                "" if by_hand else f"{saved_hours(each, supervised, rates):+.2f}",
                f"{each.minutes:.1f}",
            ]
        )
    return table(_HEAD, rows)


_MAPS: Final = (
    "![Class activation maps beside boxes]({})\n\n"
    "Above, maps of a category on the first test pictures where its box (red) meets none of its things (yellow). "
    "Below, what the detector trained on all boxes found there (green). The things are emoji of the npm package "
    "`@lobehub/fluent-emoji-3d` (MIT) on backgrounds drawn by program."
)
_ROWS: Final = ("supervised", "self-training", "people, worth", "people, random", "people, sure", "CAM")
_MARKS: Final = {"kept": "", "no gain": "=", "drift": "↓"}
_HEAD: Final = (
    *("share", "way", "AP@.5 any category", "AP@[.5:.95]", "mAP@.5", "boxes believed: right", "answers: yes"),
    *("AP held back, by round", "hours of people", "hours saved", "minutes of machine"),
)


def _interval(figure: Figure) -> str:
    return f"{figure.value:.3f} [{figure.low:.2f}, {figure.high:.2f}]"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def draw_curve(entries: Sequence[Entry], out: Path) -> None:
    """A panel for each set: AP of every way against the share, with its intervals."""
    sets = sorted({each.of for each in entries}, reverse=True)
    drawing = Drawing(figsize=(4.4 * len(sets), 3.6), layout="constrained")
    panels = drawing.subplots(1, len(sets), squeeze=False)[0]
    for panel, of in zip(panels, sets, strict=True):
        for method, colour in _COLOURS.items():
            own = sorted((e for e in entries if e.of == of and e.method == method), key=lambda e: e.share)
            if not own:
                continue
            values = [each.any_category for each in own]
            spread = [[f.value - f.low for f in values], [f.high - f.value for f in values]]
            shares = [100 * each.share for each in own]
            shown = {"marker": "o", "color": colour, "label": method, "capsize": 3}
            panel.errorbar(shares, [f.value for f in values], yerr=spread, **shown)
        asked = [each for each in entries if each.of == of and each.method == "people, worth"]
        shown = {"markersize": 12, "color": "#31a354", "label": "with people's answers"}
        panel.plot([100 * e.share for e in asked], [e.any_category.value for e in asked], "*", **shown)
        panel.set(title=of, xlabel="pictures boxed by hand, %", ylabel="AP@.5 any category")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    drawing.savefig(out, dpi=80)

"""The campaign's table, and its timeline as a plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from evaluation.chaos.campaign import Outcome, Report

HEAD: Final = ("fault", "times", "scans", "failed", "shed", "partial", "wrong", "writes refused", "recovery, s")
_COLOURS: Final = {
    "whole": "tab:green",
    "partial": "tab:orange",
    "shed": "tab:purple",
    "error": "tab:red",
    "hung": "black",
    "wrong": "black",
}
_LABEL_LEVELS: Final = 4


def rows(report: Report) -> Iterator[list[str]]:
    """A row for each fault, over all the times that it was there; the first is the time without any."""
    every = [*([report.calm] if report.calm else []), *report.outcomes]
    order = list(dict.fromkeys(each.fault for each in every))
    by_fault = sorted(every, key=lambda each: order.index(each.fault))
    for fault, group in groupby(by_fault, key=lambda each: each.fault):
        outcomes = list(group)
        whole = Outcome(
            fault,
            0.0,
            0.0,
            [scan for each in outcomes for scan in each.scans],
            [write for each in outcomes for write in each.writes],
        )
        recovery = "" if outcomes[0] is report.calm else f"{max(each.recovery for each in outcomes):.1f}"
        yield [
            *(fault, str(len(outcomes)), str(len(whole.scans)), _share(whole.share("error", "hung"))),
            _share(whole.share("shed")),
            *(_share(whole.share("partial")), str(sum(scan.verdict == "wrong" for scan in whole.scans))),
            *(_share(whole.refused_writes), recovery),
        ]


def verdict(report: Report) -> list[str]:
    """What must hold, and whether it did."""
    scans = sum(len(each.scans) for each in report.outcomes)
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.acknowledged.items())
    lines = [
        f"- {report.photos} photos; undisturbed, {report.matched} are matched, the others not in the catalogue",
        f"- wrong or hung scans: {len(report.wrong)} of {scans}",
        f"- acknowledged writes that were not so afterwards: {len(report.lost)} ({kinds} were acknowledged)",
        f"- photos answered otherwise than before, after the last repair: {len(report.changed)}",
    ]
    if report.skipped:
        lines.append(f"- not possible on this machine: {', '.join(report.skipped)}")
    return lines


def draw(reports: Sequence[Report], path: Path) -> None:
    """A panel for each site: every scan's latency over time, coloured by what it was worth; faults are shaded."""
    figure = Figure(figsize=(16, 5 * len(reports)))
    panels = figure.subplots(len(reports), 1, squeeze=False)[:, 0]
    for axes, report in zip(panels, reports, strict=True):
        scans = [scan for each in report.outcomes for scan in each.scans]
        for name, colour in _COLOURS.items():
            chosen = [scan for scan in scans if scan.verdict == name]
            begun = np.array([scan.begun - report.begun for scan in chosen])
            axes.semilogy(begun, [1e3 * scan.seconds for scan in chosen], ".", ms=3, color=colour, label=name)
        for number, each in enumerate(report.outcomes):
            start, end = each.begun - report.begun, each.repaired - report.begun
            axes.axvspan(start, end, color="tab:blue", alpha=0.12, lw=0)
            height = 1.01 + 0.05 * (number % _LABEL_LEVELS)
            axes.annotate(each.fault, (start, height), xycoords=("data", "axes fraction"), fontsize=5)
        axes.set_ylabel("scan, ms")
        axes.legend(fontsize=7, loc="lower right", ncols=len(_COLOURS))
    panels[-1].set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _share(share: float) -> str:
    return f"{share:.1%}" if share else "0"

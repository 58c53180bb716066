"""What the gateway does when more is asked of it than it can answer.

python -m evaluation.overload [--seconds N] [--page FILE] [--json]

Capacity is found by a closed model with ever more clients. Then scans come in an open model: at half of the capacity,
at all of it, at three times as much, and at half again. Goodput are whole answers; a scan is shed when it is refused
with RESOURCE_EXHAUSTED; latencies are those of the scans that were answered.

The gateway has recovered once no scan is shed, lost or slower than twice the unloaded p99 for a second.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from evaluation.generator import Generator, Load
from evaluation.pages import table, write_section
from evaluation.replicas import Replicas
from evaluation.stocked import CACHE, photos, stock
from shiwu.cli.mesh import Layout

_CLIENTS: Final = (1, 2, 4, 8, 16, 32)
_TIMES: Final = {"0.5 x": 0.5, "1 x": 1.0, "3 x": 3.0, "0.5 x after": 0.5}
"""The open loads, by how many times the capacity they are."""
_STEADY: Final = 1.0  # seconds without trouble that end the recovery
_UNLOADED: Final = 200  # scans, one at a time
_HEAD: Final = ("load", "scans/s", "goodput/s", "shed", "lost or partial", "p50 ms", "p99 ms", "p99/p50", "generator")


@dataclass(frozen=True)
class Phase:
    """One load, and what it is called."""

    name: str
    load: Load


def main() -> None:
    """Prints the table and the four aims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each open load")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--page", type=Path, help="page whose section, and plot beside it, are written anew")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    shots = [photo.data for photo in photos(20)]
    with tempfile.TemporaryDirectory(prefix="shiwu-overload-") as home:
        layout = Layout(Path(home), models=options.models, import_roots=(CACHE,))
        mesh = Replicas(layout, {})
        with mesh.running():
            stock(mesh.target("catalog"))
            with Generator(mesh.target("gateway"), shots) as generator:
                ramp, phases = _measured(generator, options.seconds)
    figures = summary(ramp, phases)
    if options.page:
        _write(figures, phases, options.page)
    if options.json:
        print(json.dumps(figures))
    else:
        _print(figures)


def _measured(generator: Generator, seconds: float) -> tuple[list[Phase], list[Phase]]:
    generator.closed(4, 5.0)  # warm
    unloaded = generator.closed(1, max(seconds, _UNLOADED * 0.05))
    ramp = [Phase(f"{clients} clients", generator.closed(clients, seconds / 2)) for clients in _CLIENTS]
    peak = max(phase.load.goodput() for phase in ramp)
    opened = generator.opened([(times * peak, seconds) for times in _TIMES.values()])
    phases = [Phase(name, load) for name, load in zip(_TIMES, opened, strict=True)]
    return ramp, [Phase("unloaded", unloaded), *phases]


def summary(ramp: Sequence[Phase], phases: Sequence[Phase]) -> dict[str, Any]:
    """All figures. phases: unloaded, 0.5 x, 1 x, 3 x, 0.5 x after."""
    unloaded, half, _, overload, after = phases
    peak = max(phase.load.goodput() for phase in ramp)
    limit = 2 * _percentile(unloaded.load, 99)
    return {
        "capacity": round(peak, 2),
        "rows": [_row(phase) for phase in (*ramp, *phases)],
        "goodput_of_peak": round(overload.load.goodput() / peak, 3),
        "p99_of_unloaded": round(2 * _percentile(overload.load, 99) / limit, 2),
        "recovery_seconds": round(recovery(after.load, limit), 2),
        "p99_to_p50_at_half": round(_percentile(half.load, 99) / _percentile(half.load, 50), 2),
        "generator_of_cores": round(overload.load.cores / (os.cpu_count() or 1), 3),
    }


def recovery(load: Load, limit: float) -> float:
    """Seconds until scans begin to be answered, whole and within `limit` seconds, for a while; inf if they never do."""
    steady_from = 0.0
    for sample in load.samples:
        if sample.begun - steady_from >= _STEADY:
            return steady_from
        if not sample.whole or sample.seconds > limit:
            steady_from = sample.begun + sample.seconds
    return steady_from if load.seconds - steady_from >= _STEADY else float("inf")


def _row(phase: Phase) -> dict[str, Any]:
    load = phase.load
    shed = load.share("RESOURCE_EXHAUSTED")
    whole = sum(sample.whole for sample in load.samples) / max(1, len(load.samples))
    return {
        "load": phase.name,
        "rate": round(len(load.samples) / load.seconds, 1),
        "goodput": round(load.goodput(), 1),
        "shed": round(shed, 4),
        "lost": round(1 - whole - shed, 4),
        "p50_ms": round(1e3 * _percentile(load, 50), 1),
        "p99_ms": round(1e3 * _percentile(load, 99), 1),
        "generator_cores": round(load.cores, 3),
    }


def _percentile(load: Load, percent: float) -> float:
    latencies = load.latencies()
    return float(np.percentile(latencies, percent)) if latencies else float("nan")


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        *(row["load"], f"{row['rate']:.1f}", f"{row['goodput']:.1f}", f"{row['shed']:.1%}", f"{row['lost']:.1%}"),
        *(f"{row['p50_ms']:.0f}", f"{row['p99_ms']:.0f}", f"{row['p99_ms'] / row['p50_ms']:.1f}"),
        f"{row['generator_cores']:.2f} cores",
    ]


def _aims(figures: dict[str, Any]) -> list[list[str]]:
    return [
        ["goodput at 3 x capacity, of the peak", "at least 90 %", f"{figures['goodput_of_peak']:.0%}"],
        ["p99 of answered scans at 3 x, of the unloaded p99", "at most 2", f"{figures['p99_of_unloaded']:.2f}"],
        ["recovery, seconds", "at most 5", f"{figures['recovery_seconds']:.1f}"],
        ["p99/p50 at half of the capacity", "at most 3", f"{figures['p99_to_p50_at_half']:.2f}"],
    ]


def _print(figures: dict[str, Any]) -> None:
    console = Console(width=160)
    loads = Table(*_HEAD)
    for row in figures["rows"]:
        loads.add_row(*_cells(row))
    console.print(loads)
    aims = Table("", "aim", "measured")
    for aim in _aims(figures):
        aims.add_row(*aim)
    console.print(aims)
    console.print(f"at 3 x the generator took {figures['generator_of_cores']:.0%} of this machine's cores")


def _write(figures: dict[str, Any], phases: Sequence[Phase], page: Path) -> None:
    plot = page.with_name("overload.png")
    lines = [
        *table(("", "aim", "measured"), _aims(figures)),
        "",
        *table(_HEAD, [_cells(row) for row in figures["rows"]]),
        "",
        f"At 3 x the generator took {figures['generator_of_cores']:.0%} of this machine's {os.cpu_count()} cores.",
        "",
        f"![answers and latencies over time]({plot.name})",
    ]
    write_section(page, "overload", lines)
    _draw(phases[1:], plot)


def _draw(phases: Sequence[Phase], path: Path) -> None:
    """Above what became of the scans of each second, below their latencies."""
    figure = Figure(figsize=(12, 6))
    rates, times = figure.subplots(2, 1, sharex=True)
    start = 0.0
    for phase in phases:
        samples = phase.load.samples
        begun = np.array([start + sample.begun for sample in samples])
        whole = np.array([sample.whole for sample in samples], bool)
        shed = np.array([sample.code == "RESOURCE_EXHAUSTED" for sample in samples], bool)
        bins = np.arange(start, start + phase.load.seconds + 1)
        for chosen, colour, label in (
            (whole, "tab:green", "whole"),
            (shed, "tab:orange", "shed"),
            (~whole & ~shed, "tab:red", "lost or partial"),
        ):
            counts, _ = np.histogram(begun[chosen], bins)
            rates.step(bins[:-1], counts, where="post", color=colour, label=label if start == 0.0 else None)
        seconds = np.array([sample.seconds for sample in samples])
        times.semilogy(begun[whole], 1e3 * seconds[whole], ".", ms=3, color="tab:green")
        times.semilogy(begun[shed], 1e3 * seconds[shed], ".", ms=2, color="tab:orange")
        rates.axvline(start, color="grey", lw=0.6)
        rates.annotate(phase.name, (start, 1.02), xycoords=("data", "axes fraction"), fontsize=8)
        start += phase.load.seconds
    rates.set_ylabel("scans/s")
    rates.legend(fontsize=8)
    times.set_ylabel("ms")
    times.set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()

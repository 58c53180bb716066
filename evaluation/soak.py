"""Whether anything grows while a mesh serves for long: memory, threads, open files, asyncio tasks.

python -m evaluation.soak [--minutes N] [--rate N] [--no-writes] [--page FILE] [--json]

Scans and catalogue writes go on at a steady rate on embedded stores. Every few seconds each process is looked at:
resident memory, threads and open files in /proc, tasks in its metrics. The slope is that of a straight line through the
second half, when caches are full, with a 95 % interval (moving block bootstrap, for neighbouring samples are alike).
Search and catalog grow by what is written: Milvus Lite and SQLite are in them; without writes nothing may grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from evaluation.chaos.scanning import Scanner
from evaluation.chaos.writing import Writer
from evaluation.pages import table, write_section
from evaluation.replicas import Replica, Replicas
from evaluation.stocked import CACHE, fill, photos, stock
from shiwu.chassis.channel import connect
from shiwu.cli.mesh import Layout

_HEAD: Final = ("process", "MiB", "MiB an hour [95 %]", "threads", "open files", "tasks")
_EVERY: Final = 5.0  # seconds
_FILLERS: Final = 120
"""Products of each category beside the demo's: more than a shard's answer holds, so that no answer grows by what is
written meanwhile, and what the gateway needs for it."""
_DRAWS: Final = 1000
_BLOCK: Final = 6  # samples, half a minute
_MIB: Final = 1 << 20
_HTTP: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Look:
    """One process at one moment. seconds: since the soak began."""

    seconds: float
    mebibytes: float
    threads: int
    files: int
    tasks: int


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=8.0, help="scans a second")
    parser.add_argument("--writes", action=argparse.BooleanOptionalAction, default=True, help="to the catalogue, too")
    parser.add_argument("--page", type=Path, help="page whose section, and plot beside it, are written anew")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shiwu-soak-") as home:
        layout = Layout(Path(home), import_roots=(CACHE,))
        mesh = Replicas(layout, {}, metrics=True)
        with mesh.running():
            stock(mesh.target("catalog"))
            fill(mesh.target("catalog"), layout.models, _FILLERS)
            looks, scans = asyncio.run(_soaked(mesh, options.rate, 60 * options.minutes, writes=options.writes))
    figures = {
        "minutes": options.minutes,
        "scans": scans,
        "processes": {str(each): _row(looks[each]) for each in looks},
    }
    if options.page:
        _write(figures, looks, options.page)
    if options.json:
        print(json.dumps(figures))
    else:
        _print(figures)


async def _soaked(
    mesh: Replicas, rate: float, seconds: float, *, writes: bool
) -> tuple[dict[Replica, list[Look]], dict[str, int]]:
    looks: dict[Replica, list[Look]] = {replica: [] for replica in mesh.all}
    async with AsyncExitStack() as stack:
        gateway, catalog, search = [
            await stack.enter_async_context(connect(mesh.target(name))) for name in ("gateway", "catalog", "search")
        ]
        scanner = Scanner(gateway, photos(24), rate)
        await scanner.learn()
        tasks = [asyncio.create_task(scanner.run())]
        if writes:
            tasks.append(asyncio.create_task(Writer(catalog, search).run()))
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            for replica in mesh.all:
                looks[replica].append(await asyncio.to_thread(_look, mesh, replica, passed))
            await asyncio.sleep(_EVERY)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    verdicts = [scan.verdict for scan in scanner.scans]
    return looks, {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}


def _look(mesh: Replicas, replica: Replica, seconds: float) -> Look:
    process = Path("/proc") / str(mesh.pid(replica))
    pages = int((process / "statm").read_text(encoding="utf-8").split()[1])
    with _HTTP.open(f"http://127.0.0.1:{mesh.metrics_port(replica)}/metrics", timeout=5) as response:
        tasks = re.search(r"^asyncio_tasks (\S+)$", response.read().decode(), re.MULTILINE)
    return Look(
        seconds,
        pages * os.sysconf("SC_PAGE_SIZE") / _MIB,
        len(list((process / "task").iterdir())),
        len(list((process / "fd").iterdir())),
        round(float(tasks[1])) if tasks else -1,
    )


def slope(seconds: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """Growth per hour, and its 95 % interval."""
    x, y = np.asarray(seconds) / 3600, np.asarray(values)
    line = np.polyfit(x, y, 1)
    noise = y - np.polyval(line, x)
    random = np.random.default_rng(0)
    blocks = -(-len(x) // _BLOCK)
    starts = random.integers(0, max(1, len(x) - _BLOCK + 1), (_DRAWS, blocks))
    picked = (starts[..., None] + np.arange(_BLOCK)).reshape(_DRAWS, -1)[:, : len(x)] % len(x)
    drawn: NDArray[np.float64] = np.polyfit(x, noise[picked].T, 1)[0]
    low, high = np.percentile(line[0] + drawn, (2.5, 97.5))
    return float(line[0]), float(low), float(high)


def _row(looks: Sequence[Look]) -> dict[str, Any]:
    half = looks[len(looks) // 2 :]
    growth, low, high = slope([look.seconds for look in half], [look.mebibytes for look in half])
    ranges = {
        name: [min(getattr(look, name) for look in half), max(getattr(look, name) for look in half)]
        for name in ("threads", "files", "tasks")
    }
    return {
        "mebibytes": round(half[-1].mebibytes, 1),
        "per_hour": round(growth, 2),
        "per_hour_interval": [round(low, 2), round(high, 2)],
        **ranges,
    }


def _cells(name: str, row: dict[str, Any]) -> list[str]:
    low, high = row["per_hour_interval"]
    ranges = ("-".join(map(str, sorted(set(row[each])))) for each in ("threads", "files", "tasks"))
    return [name, f"{row['mebibytes']:.0f}", f"{row['per_hour']:+.1f} [{low:+.1f}, {high:+.1f}]", *ranges]


def _print(figures: dict[str, Any]) -> None:
    shown = Table(*_HEAD, title=f"{figures['minutes']:g} minutes; scans: {figures['scans']}", title_justify="left")
    for name, row in figures["processes"].items():
        shown.add_row(*_cells(name, row))
    Console(width=140).print(shown)


def _write(figures: dict[str, Any], looks: dict[Replica, list[Look]], page: Path) -> None:
    plot = page.with_name("soak.png")
    scans = ", ".join(f"{count} {verdict}" for verdict, count in figures["scans"].items())
    rows = [_cells(name, row) for name, row in figures["processes"].items()]
    lines = [f"{figures['minutes']:g} minutes; scans: {scans}.", "", *table(_HEAD, rows), "", f"![memory]({plot.name})"]
    write_section(page, "soak", lines)
    figure = Figure(figsize=(10, 4))
    axes = figure.subplots()
    for replica, all_looks in looks.items():
        axes.plot([look.seconds / 60 for look in all_looks], [look.mebibytes for look in all_looks], label=str(replica))
    axes.set_xlabel("minutes")
    axes.set_ylabel("resident, MiB")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(plot, dpi=90)


if __name__ == "__main__":
    main()

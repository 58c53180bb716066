"""`shiwu coverage`: the share of replayed scans that find an accepted product by now, run by run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shiwu.cli.connection import InputError, connected
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import Coverage

_TIMEOUT = 10.0
_PAGE = 1000


@dataclass(frozen=True)
class Run:
    """A replay run. by_category: its counts."""

    replay_id: str
    time: datetime
    """UTC."""
    by_category: dict[str, Coverage]

    @property
    def all(self) -> Coverage:
        """All categories together."""
        names = ("gaps", "without_crop", "replayed", "found", "closed")
        return Coverage(**{name: sum(getattr(each, name) for each in self.by_category.values()) for name in names})


def show(catalog: str, *, category: str, runs: int, draw: Path | None) -> None:
    """Prints the last runs, the oldest of them first."""
    console = Console()
    with connected(catalog) as channel:
        last = list(islice(_runs(CatalogServiceStub(channel), category), runs))[::-1]
    if not last:
        console.print("no scan has been replayed; `shiwu gaps replay` does it")
        return
    totals = Table("run", "when", "gaps", "without crop", "replayed", "found", "closed by it", "coverage")
    for run in last:
        total = run.all
        numbers = (total.gaps, total.without_crop, total.replayed, total.found, total.closed)
        totals.add_row(escape(run.replay_id), f"{run.time:%Y-%m-%d %H:%M}", *map(str, numbers), _share(total))
    console.print(totals)
    categories = sorted({name for run in last for name in run.by_category})
    table = Table("run", *categories, title="coverage by category: found of replayed", title_justify="left")
    for run in last:
        cells = (_fraction(run.by_category.get(name)) for name in categories)
        table.add_row(escape(run.replay_id), *cells)
    console.print(table)
    if draw is not None:
        _draw(last, categories, draw)
        console.print(f"drawn: {draw}")


def _runs(stub: CatalogServiceStub, category: str) -> Iterator[Run]:
    """The last one first."""
    for replay_id, rows in groupby(_rows(stub, category), key=lambda row: row.replay_id):
        by_category = {row.category: row for row in rows}
        yield Run(replay_id, max(row.update_time.ToDatetime() for row in by_category.values()), by_category)


def _rows(stub: CatalogServiceStub, category: str) -> Iterator[Coverage]:
    request = pb.ListCoverageRequest(page_size=_PAGE, category=category)
    while True:
        page = stub.ListCoverage(request, timeout=_TIMEOUT)
        yield from page.coverage
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _share(row: Coverage) -> str:
    return f"{row.found / row.replayed:.1%}" if row.replayed else ""


def _fraction(row: Coverage | None) -> str:
    return f"{row.found}/{row.replayed} {_share(row)}" if row is not None and row.replayed else ""


def _draw(runs: Sequence[Run], categories: Sequence[str], path: Path) -> None:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (an extra, and slow to import)
    except ModuleNotFoundError as error:
        msg = "--draw needs matplotlib: pip install 'shiwu[jobs]'"
        raise InputError(msg) from error
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    lines = [("all", [(run.time, run.all) for run in runs])]
    if len(categories) > 1:
        lines += [(n, [(run.time, run.by_category[n]) for run in runs if n in run.by_category]) for n in categories]
    for name, points in lines:
        replayed = [(time, row.found / row.replayed) for time, row in points if row.replayed]
        bold = name == "all"
        axes.plot(
            np.array([time for time, _ in replayed], "datetime64[s]"),
            [share for _, share in replayed],
            marker="o",
            color="black" if bold else None,
            linewidth=2.5 if bold else 1.2,
            label=name,
        )
    axes.set(ylim=(-0.03, 1.03), ylabel="replayed scans that find a product")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.autofmt_xdate()
    figure.savefig(path, dpi=110)

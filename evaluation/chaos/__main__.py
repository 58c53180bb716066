"""Real faults in a real mesh, while scans and catalogue writes go on.

python -m evaluation.chaos [--minutes N] [--hold N] [--rate N] [--only TEXT] [--page FILE]

First a mesh on servers (PostgreSQL, Milvus standalone, Envoy before search; two gateways, detectors, embedders and
classifiers, one search and one catalog), then one on Triton and a Milvus cluster, then one on embedded stores. Every
answer is compared with the undisturbed one, and all that was acknowledged is looked for afterwards. Exits with 1 if an
answer was wrong or a write lost.

"Failed" are scans that ended with an error after the client's retries, "shed" those that the gateway refused since it
had too many, "partial" those that say what is missing.
Recovery is the time from the begin of the repair (a killed process is started again, a frozen one goes on) until the
last scan or write that was not well was over; of several times, the longest. A process takes two seconds to start.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evaluation.chaos import page
from evaluation.chaos.campaign import Campaign, Report
from evaluation.chaos.faults import EMBEDDED, ON_CLUSTER, ON_SERVERS
from evaluation.chaos.site import embedded, on_cluster, on_servers
from evaluation.pages import table, write_section


def main() -> None:
    """Prints a table for each site."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="at least; each fault happens once at least")
    parser.add_argument("--hold", type=float, default=5.0, help="seconds that a fault lasts")
    parser.add_argument("--rate", type=float, default=5.0, help="scans a second")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--page", type=Path, help="page whose section, and timeline beside it, are written anew")
    options = parser.parse_args()
    console = Console(width=160)
    reports: dict[str, Report] = {}
    for name, site, faults, share in (
        ("servers", on_servers, ON_SERVERS, 0.75),
        ("cluster", on_cluster, ON_CLUSTER, 0.15),
        ("embedded", embedded, EMBEDDED, 0.1),
    ):
        chosen = [fault for fault in faults if options.only in fault.name]
        if not chosen:
            continue
        with tempfile.TemporaryDirectory(prefix="shiwu-chaos-") as home, site(Path(home)) as running:
            campaign = Campaign(running, rate=options.rate, hold_seconds=options.hold, say=console.print)
            until = time.monotonic() + 60 * options.minutes * share
            reports[name] = asyncio.run(campaign.run(chosen, until=until))
        _print(console, name, reports[name])
    if options.page:
        _write(reports, options.page)
    sys.exit(any(report.failed for report in reports.values()))


def _print(console: Console, name: str, report: Report) -> None:
    shown = Table(*page.HEAD, title=name, title_justify="left")
    for row in page.rows(report):
        shown.add_row(*row)
    console.print(shown)
    for outcome in report.outcomes:
        for why, times in outcome.reasons():
            console.print(f"{outcome.fault}: {times} x {why}", markup=False, highlight=False)
    for line in [*page.verdict(report), *report.lost, *[scan.detail for scan in report.changed]]:
        console.print(line, markup=False, highlight=False)


def _write(reports: dict[str, Report], path: Path) -> None:
    plot = path.with_name("chaos.png")
    lines: list[str] = []
    for name, report in reports.items():
        lines += [f"**{name}**", "", *page.verdict(report), "", *table(page.HEAD, list(page.rows(report))), ""]
    write_section(path, "chaos", [*lines, f"![every scan over time]({plot.name})"])
    page.draw(list(reports.values()), plot)


if __name__ == "__main__":
    main()

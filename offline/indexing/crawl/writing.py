"""What a crawl has found, as files: a feed for each site, and a report of what was skipped and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from offline.indexing.crawl.frontier import Frontier
from offline.indexing.crawl.products import Row
from offline.indexing.crawl.sites import Site, Sites


@dataclass(frozen=True, slots=True)
class SiteReport:
    """What has become of a site."""

    host: str
    merchant: str
    feed: str
    """Name of the file."""
    whole: bool
    """Whether every product that we may see was seen: then the feed is complete."""
    stopped: str
    """Why the crawl is not at its end; empty if it is."""
    asked: int
    """Addresses asked for."""
    products: int
    """Rows of the feed."""
    unsorted: int
    """Products whose category nobody knows, in a file of their own."""
    missed: int
    """Addresses because of which there may be products that were not found: beyond a limit, unanswered, unreadable."""
    forgotten: int
    """Links beyond those that are remembered."""
    skipped: dict[str, int]
    """By reason: how many addresses were not asked for, or gave nothing, or less than they might."""


def write_feeds(folder: Path, sites: Sites, frontier: Frontier, stopped: Mapping[str, str]) -> list[SiteReport]:
    """Writes `HOST.jsonl`, `HOST.unsorted.jsonl`, `skipped.jsonl` and `report.json`, each whole or not at all.

    stopped: why the crawl of a host is not at its end. The same crawl gives the same bytes. Of two pages with the same
    product the first counts.
    """
    reports: list[SiteReport] = []
    skipped: list[dict[str, str]] = []
    for site in sites.sites:
        rows, missing, asked = _rows(site, frontier)
        name = site.host.replace(":", "_")
        sorted_ = [row for row in rows if "category" in row]
        unsorted = [row for row in rows if "category" not in row]
        _write(folder / f"{name}.jsonl", sorted_)
        _write(folder / f"{name}.unsorted.jsonl", unsorted)
        why = stopped.get(site.host, "")
        missed, forgotten = frontier.missed(site.host), frontier.forgotten(site.host)
        reports.append(
            SiteReport(
                host=site.host,
                merchant=site.merchant,
                feed=f"{name}.jsonl",
                whole=not (why or missed or forgotten),
                stopped=why,
                asked=asked,
                products=len(sorted_),
                unsorted=len(unsorted),
                missed=missed,
                forgotten=forgotten,
                skipped=dict(sorted(Counter(each["reason"].partition(":")[0] for each in missing).items())),
            )
        )
        skipped += missing
    _write(folder / "skipped.jsonl", skipped)
    _replace(
        folder / "report.json", json.dumps([asdict(each) for each in reports], indent=1, ensure_ascii=False) + "\n"
    )
    return reports


def _rows(site: Site, frontier: Frontier) -> tuple[list[Row], list[dict[str, str]], int]:
    """The site's products, what was skipped, and how many addresses were asked for."""
    first: dict[str, str] = {}
    rows: list[Row] = []
    missing: list[dict[str, str]] = []
    asked = 0
    for outcome in frontier.outcomes(site.host):
        asked += outcome.asked
        reasons = list(outcome.reasons)
        for row in outcome.rows:
            page = first.setdefault(str(row["product_id"]), outcome.url)
            if page == outcome.url:
                rows.append(row)
            else:
                reasons.append(f"has the same product as another page: {page}")
        missing += [{"site": site.host, "url": outcome.url, "reason": reason} for reason in reasons]
    return rows, missing, asked


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    _replace(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)

"""Crawls shops into feeds: python -m offline.indexing.crawl SITES.yaml --out DIR. Killed, it goes on where it was."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from offline.indexing.crawl.crawling import SiteCrawl
from offline.indexing.crawl.frontier import CrawlError, Frontier
from offline.indexing.crawl.sites import Site, Sites
from offline.indexing.crawl.web import Visitor
from offline.indexing.crawl.writing import SiteReport, write_feeds
from offline.training.typed_yaml import YamlError, read_yaml
from shiwu.chassis.public_http import public_client

_SITES_AT_ONCE = 16


async def crawl(
    sites: Sites, frontier: Frontier, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> dict[str, str]:
    """Crawls all sites, some at a time; why each stopped early, if it did. networks: allowed though not public."""
    slots = asyncio.Semaphore(_SITES_AT_ONCE)
    headers = {"user-agent": sites.user_agent, "accept": "text/html,application/xml;q=0.9", "accept-encoding": "gzip"}
    async with public_client(allowed_networks=networks, headers=headers, timeout=sites.timeout_seconds) as client:
        with tqdm(unit=" pages", desc="crawled") as progress:

            async def one(site: Site) -> str:
                async with slots:
                    visitor = Visitor(client, sites, site.delay_seconds)
                    return await SiteCrawl(site, sites, frontier, visitor).run(progress.update)

            stopped = await asyncio.gather(*map(one, sites.sites))
    return {site.host: why for site, why in zip(sites.sites, stopped, strict=True) if why}


def show(reports: Sequence[SiteReport]) -> None:
    """Prints what was found and what was skipped."""
    for report in reports:
        whole = "all of it" if report.whole else "not all of it"
        print(f"{report.host}: {report.products:,} products from {report.asked:,} addresses, {whole}; {report.feed}")
        if report.unsorted:
            print(f"  {report.unsorted:,} more of which nobody knows the category")
        if report.stopped:
            print(f"  stopped: {report.stopped}")
        for reason, count in report.skipped.items():
            print(f"  {count:6,}  {reason}")


def main() -> int:
    """Returns the exit code: 0 crawled to the end, 1 not all of it, 2 the input is wrong."""
    parser = argparse.ArgumentParser(prog="python -m offline.indexing.crawl", description=__doc__)
    parser.add_argument("sites", type=Path, help="what to crawl: docs/feeds.md")
    parser.add_argument("--out", type=Path, required=True, help="folder of the feeds, the report and the ledger")
    parser.add_argument(
        "--allow-network",
        type=ipaddress.ip_network,
        action="append",
        default=[],
        metavar="CIDR",
        help="a network that may be reached although it is not public: for tests",
    )
    given = parser.parse_args()
    try:
        sites = read_yaml(given.sites, Sites, "list of sites")
        given.out.mkdir(parents=True, exist_ok=True)
        with (given.out / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            frontier = Frontier(given.out / "crawl.db", sites)
            stopped = asyncio.run(crawl(sites, frontier, given.allow_network))
            show(reports := write_feeds(given.out, sites, frontier, stopped))
            frontier.close()
    except (YamlError, CrawlError, OSError) as error:
        busy = isinstance(error, BlockingIOError)
        print(f"{given.out} is being crawled into by another process" if busy else error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return 1
    return 0 if all(not report.stopped for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())

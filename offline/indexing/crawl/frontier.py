"""What of each site has been asked for, what is to be, and what was found: a ledger in one SQLite file.

A page's outcome, its rows and the links that it adds are one transaction. So after a kill, at any moment, each page
has either been dealt with wholly or not at all, and the crawl goes on as if nothing had happened: in the same order,
with the same rows. Only a page whose answer was under way is asked for again, one for each site.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from offline.indexing.crawl.pages import same_page
from offline.indexing.crawl.products import Row
from offline.indexing.crawl.robots import RobotsFile
from offline.indexing.crawl.sites import Site, Sites

Kind = Literal["sitemap", "page"]

_REMEMBERED: Final = 20
"""Addresses that are remembered for each page that is allowed; what is beyond them is only counted."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS crawl (sites TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sites (
  host TEXT PRIMARY KEY, robots_status INTEGER NOT NULL, robots_text TEXT NOT NULL, robots_time REAL NOT NULL,
  forgotten INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS addresses (
  host TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL, path TEXT NOT NULL,
  kind TEXT NOT NULL, depth INTEGER NOT NULL,
  state TEXT NOT NULL, reasons TEXT NOT NULL, missed INTEGER NOT NULL, rows TEXT NOT NULL,
  PRIMARY KEY (host, number)
);
CREATE UNIQUE INDEX IF NOT EXISTS by_name ON addresses (host, name);
CREATE INDEX IF NOT EXISTS by_state ON addresses (host, state, kind DESC, number);
CREATE INDEX IF NOT EXISTS by_path ON addresses (host, path) WHERE state != 'skipped';
"""


class CrawlError(ValueError):
    """A folder cannot be crawled into."""


@dataclass(frozen=True, slots=True)
class Address:
    """Somewhere to ask."""

    number: int
    """In the order in which the site's addresses were found."""
    url: str
    kind: Kind
    depth: int


@dataclass(frozen=True, slots=True)
class Link:
    """An address that was found."""

    url: str
    kind: Kind
    depth: int
    reason: str = ""
    """Why it is not asked for; empty if it is. What stands before a colon is the kind of reason."""
    missed: bool = False
    """Whether there may be products that are not found because of that."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of an address."""

    url: str
    asked: bool
    reasons: tuple[str, ...]
    """Why there is nothing of it, or not all."""
    rows: tuple[Row, ...]


class Frontier:
    """The ledger of one crawl."""

    def __init__(self, path: Path, sites: Sites) -> None:
        """Opens it, or begins it. Raises CrawlError if it is of other sites or limits."""
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(_SCHEMA)
        asked = sites.model_dump_json()
        with self._transaction():
            (known,) = self._db.execute("SELECT max(sites) FROM crawl").fetchone()
            if known is None:
                self._db.execute("INSERT INTO crawl VALUES (?)", (asked,))
        if known not in (None, asked):
            msg = f"{path.parent} holds a crawl of other sites or limits; expected the same, or an empty folder"
            raise CrawlError(msg)

    def close(self) -> None:
        self._db.close()

    def robots(self, host: str) -> RobotsFile | None:
        """The site's robots.txt as it was answered; None: it has not been asked for."""
        row = self._db.execute(
            "SELECT robots_status, robots_text, robots_time FROM sites WHERE host = ?", (host,)
        ).fetchone()
        return RobotsFile(*row) if row else None

    def begin(self, site: Site, robots: RobotsFile, links: Iterable[Link]) -> None:
        """Keeps robots.txt, and where to begin."""
        with self._transaction():
            self._db.execute("INSERT INTO sites VALUES (?, 0, '', 0, 0)", (site.host,))
            self.keep_robots(site.host, robots)
            self._add(site, links)

    def keep_robots(self, host: str, robots: RobotsFile) -> None:
        """Keeps a newer robots.txt of a site that has been begun."""
        self._db.execute(
            "UPDATE sites SET robots_status = ?, robots_text = ?, robots_time = ? WHERE host = ?",
            (robots.status, robots.text, robots.time, host),
        )

    def next(self, host: str) -> Address | None:
        """The next to ask for: sitemaps before pages, in the order in which they were found."""
        row = self._db.execute(
            "SELECT number, url, kind, depth FROM addresses WHERE host = ? AND state = 'waiting' "
            "ORDER BY kind DESC, number LIMIT 1",
            (host,),
        ).fetchone()
        return Address(*row) if row else None

    def finish(
        self,
        site: Site,
        address: Address,
        *,
        reasons: Iterable[str] = (),
        missed: bool = False,
        rows: Iterable[Row] = (),
        links: Iterable[Link] = (),
    ) -> None:
        """Keeps what has become of an address, and adds what it links to. reasons, missed: as of a Link."""
        with self._transaction():
            self._db.execute(
                "UPDATE addresses SET state = 'asked', reasons = ?, missed = ?, rows = ? WHERE host = ? AND number = ?",
                (_json(list(reasons)), missed, _json(list(rows)), site.host, address.number),
            )
            self._add(site, links)

    def missed(self, host: str) -> int:
        """Addresses because of which there may be products that were not found."""
        return self._count("host = ? AND missed", host)

    def forgotten(self, host: str) -> int:
        """Links to addresses beyond those that are remembered."""
        row = self._db.execute("SELECT forgotten FROM sites WHERE host = ?", (host,)).fetchone()
        return int(row[0]) if row else 0

    def outcomes(self, host: str) -> Iterator[Outcome]:
        """All addresses that are dealt with, in the order in which they were found."""
        for url, state, reasons, rows in self._db.execute(
            "SELECT url, state, reasons, rows FROM addresses WHERE host = ? AND state != 'waiting' ORDER BY number",
            (host,),
        ):
            yield Outcome(url, state == "asked", tuple(json.loads(reasons)), tuple(json.loads(rows)))

    def _add(self, site: Site, links: Iterable[Link]) -> None:
        host = site.host
        known = self._count("host = ?", host)
        admitted = self._count("host = ? AND state != 'skipped'", host)
        for link in links:
            name, path = same_page(link.url), urlsplit(link.url).path
            if self._count("host = ? AND name = ?", host, name):
                continue
            if known == _REMEMBERED * site.max_pages:
                self._db.execute("UPDATE sites SET forgotten = forgotten + 1 WHERE host = ?", (host,))
                continue
            reason, missed = link.reason, link.missed
            if not reason and admitted >= site.max_pages:
                reason, missed = f"is beyond the {site.max_pages:,} pages that may be asked for", True
            variants = self._count("host = ? AND path = ? AND state != 'skipped'", host, path)
            if not reason and variants >= site.max_variants:
                reason, missed = f"is beyond the {site.max_variants:,} addresses that differ only behind a '?'", True
            outcome = ("skipped", _json([reason])) if reason else ("waiting", "[]")
            self._db.execute(
                "INSERT INTO addresses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '[]')",
                (host, known, name, link.url, path, link.kind, link.depth, *outcome, missed),
            )
            known += 1
            admitted += not reason

    def _count(self, where: str, *values: object) -> int:
        (count,) = self._db.execute(f"SELECT count(*) FROM addresses WHERE {where}", values).fetchone()  # noqa: S608
        return int(count)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)

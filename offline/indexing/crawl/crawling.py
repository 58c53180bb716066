"""One site, from its robots.txt to its last page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, TypedDict
from urllib.parse import urljoin, urlsplit

from offline.indexing.crawl.frontier import Address, Frontier, Kind, Link
from offline.indexing.crawl.pages import absolute, read_page
from offline.indexing.crawl.products import Row, products_of
from offline.indexing.crawl.robots import RobotsFile, Rules
from offline.indexing.crawl.sitemaps import read_sitemap
from offline.indexing.crawl.sites import Site, Sites
from offline.indexing.crawl.web import Answer, RefusedError, UnansweredError, Visitor

_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
_NO_PAGES: Final = (
    ".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".svg", ".ico", ".css", ".js", ".json", ".xml", ".csv", ".pdf",
    ".zip", ".gz", ".mp3", ".mp4", ".webm", ".woff", ".woff2", ".docx", ".xlsx",
)  # fmt: skip
_DAY: Final = 24 * 3600.0
"""So long robots.txt may be believed (RFC 9309, 2.4)."""
_WEB_PORTS: Final = {"http": 80, "https": 443}


class Contents(TypedDict):
    """What a file holds, as `Frontier.finish` takes it."""

    reasons: list[str]
    missed: bool
    rows: list[Row]
    links: list[Link]


class SiteCrawl:
    """Crawls one site, page after page."""

    def __init__(self, site: Site, sites: Sites, frontier: Frontier, visitor: Visitor) -> None:
        self._site = site
        self._sites = sites
        self._frontier = frontier
        self._visitor = visitor
        self._rules = Rules(RobotsFile(0))
        self._read_time = 0.0

    async def run(self, seen: Callable[[], object]) -> str:
        """Crawls what is left. Returns why it stopped before the end; empty if it did not. seen: after each page."""
        if refusal := await self._begin():
            return refusal
        failures = 0
        while address := self._frontier.next(self._site.host):
            await self._refresh()
            failures = 0 if await self._visit(address) else failures + 1
            seen()
            if failures == self._sites.failures:
                return f"the site did not answer {failures} times in a row"
        return ""

    async def _begin(self) -> str:
        """Asks for robots.txt, unless that was done; why nothing may be crawled, or empty."""
        site = self._site
        if known := self._frontier.robots(site.host):
            self._obey(known)
            return ""
        file = await self._visitor.robots(urljoin(site.url, "/robots.txt"))
        self._obey(file)
        if self._rules.refusal:
            return self._rules.refusal
        if self._rules.delay > self._sites.longest_wait_seconds:
            return f"robots.txt asks for {self._rules.delay:,.0f} s between pages"
        maps = _absolute(site.url, self._rules.sitemaps or ["/sitemap.xml"])
        links = [self._link(site.url, "page", 0), *(self._link(url, "sitemap", 0) for url in maps)]
        self._frontier.begin(site, file, links)
        return ""

    async def _refresh(self) -> None:
        """Asks for robots.txt again when it is a day old; one that cannot be had then leaves the old one in force."""
        if time.time() - self._read_time > _DAY:
            file = await self._visitor.robots(urljoin(self._site.url, "/robots.txt"))
            if Rules(file).refusal:
                self._read_time = file.time
            else:
                self._obey(file)
                self._frontier.keep_robots(self._site.host, file)

    def _obey(self, file: RobotsFile) -> None:
        self._read_time = file.time
        self._rules = Rules(file)
        self._visitor.delay = max(self._site.delay_seconds, self._rules.delay)
        self._visitor.rest()  # after robots.txt, or after what a process before this one may just have asked for

    async def _visit(self, address: Address) -> bool:
        """Asks for an address and keeps what comes of it; false: there was no answer."""
        if not self._rules.allow(address.url):  # since it was found
            self._frontier.finish(self._site, address, reasons=["is forbidden by robots.txt"])
            return True
        limit = self._site.max_sitemap_bytes if address.kind == "sitemap" else self._site.max_page_bytes
        try:
            answer = await self._visitor.get(address.url, limit)
            if answer.redirect:
                self._redirected(address, answer.redirect)
            else:
                read = self._sitemap if address.kind == "sitemap" else self._page
                contents = await asyncio.to_thread(read, address, answer)
                self._frontier.finish(self._site, address, **contents)
        except RefusedError as error:
            self._frontier.finish(self._site, address, reasons=[str(error)], missed=not error.gone)
        except UnansweredError as error:
            self._frontier.finish(self._site, address, reasons=[str(error)], missed=True)
            return False
        return True

    def _redirected(self, address: Address, location: str) -> None:
        """A redirect is a link, to be judged like any other; each goes one deeper, so that a chain of them ends."""
        url = absolute(address.url, location)
        if not url:
            reason = f"redirects to what is no address: {location[:200]!r}"
            self._frontier.finish(self._site, address, reasons=[reason], missed=True)
            return
        link = self._link(url, address.kind, address.depth + 1)
        which = f", which {link.reason}" if link.reason else ""
        self._frontier.finish(self._site, address, reasons=[f"redirects: to {url[:200]}{which}"], links=[link])

    def _sitemap(self, address: Address, answer: Answer) -> Contents:
        found = read_sitemap(answer.body, self._site.max_sitemap_bytes)
        depth = address.depth + 1
        links = [self._link(url, "sitemap", depth) for url in _absolute(address.url, found.sitemaps)]
        links += [self._link(url, "page", 0) for url in _absolute(address.url, found.pages)]
        problems = [f"is a sitemap that cannot be read: {found.problem}"] if found.problem else []
        return {"reasons": problems, "missed": bool(problems), "rows": [], "links": links}

    def _page(self, address: Address, answer: Answer) -> Contents:
        kind = answer.content_type.partition(";")[0].strip().lower()
        if kind not in _PAGES:
            return {"reasons": [f"is no HTML: {kind[:100]}"], "missed": False, "rows": [], "links": []}
        page = read_page(answer.body, answer.content_type, address.url, answer.robots_tags)
        found = products_of(page, self._site)
        problems = list(page.problems + found.problems)
        rows: list[Row] = []
        for row in found.rows:
            images = row["images"]
            allowed = [image for image in images if self._picture_allowed(image)] if isinstance(images, list) else []
            if allowed:
                rows.append({**row, "images": allowed})
            else:
                problems.append(f"has no picture that robots.txt lets us fetch: {str(row['title'])[:100]!r}")
        links = [self._link(url, "page", address.depth + 1) for url in page.links]
        return {"reasons": problems, "missed": bool(page.problems), "rows": rows, "links": links}

    def _picture_allowed(self, url: str) -> bool:
        """Pictures elsewhere, mostly on hosts that do nothing else, are not for this site's robots.txt to judge."""
        return not self._at_home(url) or self._rules.allow(url)

    def _link(self, url: str, kind: Kind, depth: int) -> Link:
        if not self._at_home(url):
            return Link(url, kind, depth, f"is on another host: {urlsplit(url).netloc[:200]}")
        if not self._rules.allow(url):
            return Link(url, kind, depth, "is forbidden by robots.txt")
        if kind == "page" and urlsplit(url).path.lower().endswith(_NO_PAGES):
            return Link(url, kind, depth, "is no page by its name")
        if depth > self._site.max_depth:
            return Link(url, kind, depth, f"is more than {self._site.max_depth} links away", missed=True)
        return Link(url, kind, depth)

    def _at_home(self, url: str) -> bool:
        """Whether it is this site's, be it by http or https."""
        return _place(url) == _place(self._site.url)


def _absolute(base: str, addresses: Iterable[str]) -> list[str]:
    return [url for address in addresses if (url := absolute(base, address))]


def _place(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or _WEB_PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", 0
    return parts.hostname or "", 0 if port in _WEB_PORTS.values() else port

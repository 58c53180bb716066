"""Pages of a MediaWiki XML dump (https://www.mediawiki.org/wiki/Help:Export), one after the other.

Memory holds one page, whatever the size of the dump. Document types are refused, and with them all entities of one's
own: bombs of entities, and files that entities name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from urllib.parse import quote, urlsplit
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from offline.indexing.articles.opening import BROKEN
from offline.indexing.articles.records import Problem

_LARGEST_REVISION = 64 << 20
"""Bytes of XML; MediaWiki itself takes 2 MiB of text."""
_FILES, _CATEGORIES = 6, 14
"""Namespaces whose links show no text of the page's."""


@dataclass(frozen=True)
class Site:
    """Where the pages come from."""

    name: str = "wiki"
    """Its database's name, as enwiki."""
    root: str = ""
    """What a page's address begins with; empty if it is not known."""
    hidden: frozenset[str] = frozenset({"file", "image", "media", "category"})
    """Prefixes, lower case, of links that show no text of the page's; with the site's own words for them."""

    def url(self, title: str) -> str:
        """The address of a page."""
        return f"{self.root}{quote(title.replace(' ', '_'), safe='/:()!,;@*')}" if self.root else ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page, as of its last revision in the dump."""

    record: int
    page_id: str
    title: str
    namespace: int
    redirect: bool
    wikitext: str
    """Empty if it has none, or is something else than wikitext."""
    site: Site


class _Counting:
    """A file that refuses to give more than a page may have."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.since = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.since += len(data)
        if self.since > _LARGEST_REVISION:
            msg = f"a page is larger than {_LARGEST_REVISION >> 20} MiB"
            raise OSError(msg)
        return data


def read_pages(file: IO[bytes]) -> Iterator[Page | Problem]:
    """All pages in their order; what is wrong with one is a problem in its place.

    A dump that cannot be read to its end ends with a problem.
    """
    counting = _Counting(file)
    record = 0
    site = Site()
    text = ""
    root: Element | None = None
    try:
        for event, element in iterparse(counting, events=("start", "end"), forbid_dtd=True):
            if event == "start":
                root = element if root is None else root
                continue
            match element.tag.rpartition("}")[2]:
                case "siteinfo":
                    site = _site(element)
                case "revision":
                    text = _text(element)
                    element.clear()
                    counting.since = 0
                case "page":
                    record += 1
                    yield _page(element, record, text, site)
                    text = ""
                    counting.since = 0
                    if root is not None:
                        root.clear()
    except ParseError as error:
        yield Problem(record + 1, "", f"the dump is not XML from here on: {error}")
    except DefusedXmlException as error:
        yield Problem(record + 1, "", f"the dump has a document type, which is refused: {error}")
    except BROKEN as error:
        yield Problem(record + 1, "", f"the dump cannot be read on from here: {error}")


def _site(element: Element) -> Site:
    base = element.findtext("{*}base", "")
    root = f"{base.rpartition('/')[0]}/" if urlsplit(base).scheme in ("http", "https") else ""
    own = {
        (each.text or "").casefold()
        for each in element.iterfind("{*}namespaces/{*}namespace")
        if each.get("key") in (str(_FILES), str(_CATEGORIES))
    }
    return Site(element.findtext("{*}dbname") or Site.name, root, Site.hidden | (own - {""}))


def _text(revision: Element) -> str:
    wikitext = revision.findtext("{*}model", "wikitext") == "wikitext"
    return revision.findtext("{*}text", "") if wikitext else ""


def _page(element: Element, record: int, text: str, site: Site) -> Page | Problem:
    title, page_id = element.findtext("{*}title", "").strip(), element.findtext("{*}id", "").strip()
    namespace = element.findtext("{*}ns", "0").strip()
    if not (title and page_id.isdecimal() and namespace.lstrip("-").isdecimal()):
        what = f"title {title[:80]!r}, id {page_id[:20]!r}, ns {namespace[:20]!r}"
        return Problem(record, "", f"the page has {what}; expected a title and two numbers")
    redirect = element.find("{*}redirect") is not None
    return Page(record, page_id, title, int(namespace), redirect, text, site)

"""A page's HTML: its links, its own address, what it lets robots do, and its structured data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urldefrag, urljoin, urlsplit

import lxml.html
from extruct.jsonld import JsonLdExtractor
from extruct.w3cmicrodata import MicrodataExtractor
from lxml import etree
from w3lib.encoding import html_to_unicode
from w3lib.url import canonicalize_url, safe_url_string, url_query_cleaner

from offline.indexing.crawl.robots import directives
from offline.indexing.crawl.sites import ROBOT

Item = dict[str, Any]

_MOST_LINKS: Final = 2000
_LONGEST: Final = 2000
"""Characters of an address."""
_TRACKING: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "gclid", "fbclid")
_JSON_LD: Final = JsonLdExtractor()
_MICRODATA: Final = MicrodataExtractor(nested=True)
_SCRIPTS: Final = etree.XPath('descendant-or-self::script[@type="application/ld+json"]')


@dataclass(frozen=True, slots=True)
class Page:
    """A page, read."""

    url: str
    """Its own name for itself (rel=canonical) where that is on its host, else where it was fetched."""
    base: str
    """What relative addresses in it are relative to."""
    links: tuple[str, ...]
    """Absolute; none if it asks robots not to follow them."""
    items: tuple[Item, ...]
    """Structured data, JSON-LD's first, microdata in its shape; none if it asks robots not to keep it."""
    problems: tuple[str, ...]


def read_page(body: bytes, content_type: str, url: str, robots_tags: Sequence[str] = ()) -> Page:
    """Reads a page. robots_tags: its X-Robots-Tag headers. Broken HTML is read as browsers do, as far as it goes."""
    _, text = html_to_unicode(content_type, body)
    try:
        tree = lxml.html.document_fromstring(text.replace("\0", ""))
    except (etree.ParserError, ValueError):
        return Page(url, url, (), (), ("is empty, or no HTML in spite of its content type",))
    said = directives([*robots_tags, *_robots_meta(tree)])
    base = urljoin(url, next(iter(tree.xpath("//base/@href")), "").strip() or url)
    own = _canonical(tree, base, url)
    links = () if "nofollow" in said else tuple(_links(tree, base))
    if "noindex" in said:
        return Page(own, base, links, (), ("asks robots not to keep it",))
    items, problems = _structured(tree, base)
    return Page(own, base, links, tuple(items), tuple(problems))


def same_page(url: str) -> str:
    """One name for all spellings of an address: the order of parameters, fragments, what only counts visits."""
    return str(canonicalize_url(url_query_cleaner(url, _TRACKING, remove=True)))


def absolute(base: str, href: str) -> str:
    """An http or https address as it is sent, without its fragment; empty if it is none."""
    try:
        url = urldefrag(safe_url_string(urljoin(base, href.strip()))).url
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        _ = parts.port
    except ValueError:
        return ""
    return url if good and len(url) <= _LONGEST else ""


def _robots_meta(tree: Any) -> list[str]:
    return [
        meta.get("content", "")
        for meta in tree.xpath("//meta[@name and @content]")
        if meta.get("name").strip().lower() in ("robots", ROBOT)
    ]


def _canonical(tree: Any, base: str, url: str) -> str:
    for link in tree.xpath("//link[@rel and @href]"):
        if "canonical" in link.get("rel").lower().split():
            own = absolute(base, link.get("href"))
            return own if urlsplit(own).netloc == urlsplit(url).netloc else url
    return url


def _links(tree: Any, base: str) -> list[str]:
    found: dict[str, None] = {}
    for anchor in tree.iter("a"):
        if "nofollow" not in anchor.get("rel", "").lower().split() and (link := absolute(base, anchor.get("href", ""))):
            found[link] = None
            if len(found) == _MOST_LINKS:
                break
    return list(found)


def _structured(tree: Any, base: str) -> tuple[list[Item], list[str]]:
    items: list[Item] = []
    problems: list[str] = []
    for script in _SCRIPTS(tree):  # one by one: a broken one must not take the others with it
        try:
            items += [item for item in _JSON_LD.extract_items(script) if isinstance(item, dict)]
        except (ValueError, RecursionError) as error:
            problems.append(f"holds JSON-LD that is no JSON: {str(error)[:200]}")
    try:
        items += [_as_json_ld(item) for item in _MICRODATA.extract_items(tree, base)]
    except (ValueError, RecursionError) as error:
        problems.append(f"holds microdata that cannot be read: {str(error)[:200]}")
    return items, problems


def _as_json_ld(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json_ld(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        "@type": value.get("type", []),
        **({"@id": value["id"]} if "id" in value else {}),
        **{name: _as_json_ld(each) for name, each in value.get("properties", {}).items()},
    }

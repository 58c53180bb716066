"""Structured data (schema.org) as rows of a feed with our own columns. Pure.

A Product's own facts come first, then those of the ProductGroup that it is a variant of. Product ids are made from the
host and the shop's number (sku, productID, mpn), else from the page's address, so that crawling again gives the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from offline.indexing.crawl.category_words import guess_category
from offline.indexing.crawl.pages import Item, Page, absolute, same_page
from offline.indexing.crawl.prices import price_of
from offline.indexing.crawl.sites import Site

Row = dict[str, str | bool | list[str]]

_PRODUCTS: Final = frozenset({"product", "individualproduct", "productmodel", "someproducts", "vehicle"})
_GROUP: Final = "productgroup"
# What hangs on a product and is another one, or none.
_ASIDE: Final = frozenset(
    {
        "isrelatedto", "issimilarto", "isaccessoryorsparepartfor", "isconsumablefor", "review", "reviews",
        "itemlistelement", "isvariantof", "aggregaterating", "offers", "mentions",
    }
)  # fmt: skip
_DEEPEST: Final = 12
_MOST_NODES: Final = 5000
_MOST_IMAGES: Final = 8


@dataclass(frozen=True, slots=True)
class Found:
    """What a page's structured data offers."""

    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    """Why a product of it is no row."""


def products_of(page: Page, site: Site) -> Found:
    """The products that a page is about; none of those that it only mentions."""
    nodes = list(_nodes(list(page.items)))
    by_id = {str(node["@id"]): node for node in reversed(nodes) if "@id" in node and len(node) > 1}
    groups = {
        key: node
        for node in nodes
        if _is(node, _GROUP)
        for variant in _dicts(node.get("hasVariant"))
        for key in (id(variant), str(variant.get("@id", "")))
        if key
    }
    products = [node for node in nodes if _is(node, *_PRODUCTS)]
    products += [node for node in nodes if _is(node, _GROUP) and not _dicts(node.get("hasVariant"))]
    if len(products) > 1:
        products = [node for node in products if _about(node, page)]
    trail = _trail(nodes)
    rows: dict[str, Row] = {}
    problems: list[str] = []
    for node in products:
        parent = _dicts(node.get("isVariantOf"))
        above = groups.get(id(node)) or groups.get(str(node.get("@id", "")), {})
        if parent and not above:
            above = by_id.get(str(parent[0].get("@id")), parent[0])
        outcome = _row(node, above, trail, page, site, several=len(products) > 1)
        if isinstance(outcome, str):
            problems.append(outcome)
        else:
            rows.setdefault(str(outcome["product_id"]), outcome)
    return Found(tuple(rows.values()), tuple(problems))


def _row(node: Item, above: Item, trail: Sequence[str], page: Page, site: Site, *, several: bool) -> Row | str:
    title = _text(node, "name", above=above)[:500]
    if not title:
        return "has a product without a name"
    images = _images(node, page.base) or _images(above, page.base)
    if not images:
        return f"has a product without a picture: {title[:100]!r}"
    paths = [_text({"value": value}, "value") for value in _list(node.get("category")) + _list(above.get("category"))]
    category = "books" if _is(node, "book") else guess_category(filter(None, paths), trail)
    group = _text(node, "inProductGroupWithID") or _text(above, "productGroupID")
    row: Row = {
        "product_id": _product_id(node, title, page, site, several=several),
        "title": title,
        "category": category or site.category,
        "brand": _text(node, "brand", above=above)[:200],
        "gtin": _gtin(node),
        "description": _text(node, "description", above=above)[:10_000],
        "style_id": _id(site.host, "group", group) if group else "",
        "style_title": _text(above, "name")[:500] if group else "",
        "images": images,
        "merchant": site.merchant,
        "url": page.url,
    }
    if price := price_of(node.get("offers") or above.get("offers")):
        row |= {"price": price.amount, "currency": price.currency, "available": price.available}
    return {name: value for name, value in row.items() if value != ""}


def _product_id(node: Item, title: str, page: Page, site: Site, *, several: bool) -> str:
    for name in ("sku", "productID", "mpn"):
        if number := _text(node, name):
            return _id(site.host, name, number)
    return _id(site.host, "page", same_page(page.url), title if several else "")


def _id(*parts: str) -> str:
    return "crawl-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _nodes(value: Any) -> Iterator[Item]:
    """All things that the data is about, in their order."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    seen = 0
    while waiting and seen < _MOST_NODES:
        node, depth = waiting.pop()
        seen += 1
        if isinstance(node, dict):
            if "@type" in node or "@id" in node:
                yield node
            below = [each for name, each in node.items() if name.lower() not in _ASIDE]
        else:
            below = node if isinstance(node, list) else []
        if depth < _DEEPEST:
            waiting += [(each, depth + 1) for each in reversed(below) if isinstance(each, dict | list)]


def _is(node: Item, *kinds: str) -> bool:
    types = (re.split(r"[/#:]", each)[-1].lower() for each in _list(node.get("@type")) if isinstance(each, str))
    return any(each in kinds for each in types)


def _about(node: Item, page: Page) -> bool:
    """Whether a page that names several products is about this one: it does not say that its page is another."""
    url = next((each for each in _list(node.get("url")) if isinstance(each, str)), "")
    return not url or urlsplit(absolute(page.base, url)).path == urlsplit(page.url).path


def _trail(nodes: Sequence[Item]) -> list[str]:
    """The names of the breadcrumbs, the widest first."""
    for node in nodes:
        if _is(node, "breadcrumblist"):
            steps = _dicts(node.get("itemListElement"))
            steps.sort(key=lambda step: int(p) if (p := str(step.get("position", ""))).isdecimal() else 0)
            return [name for step in steps if (name := _text(step, "name") or _text(step, "item"))]
    return []


def _images(node: Item, base: str) -> list[str]:
    found: dict[str, None] = {}
    for value in _list(node.get("image")):
        places = (
            [each for name in ("contentUrl", "url", "@id") for each in _list(value.get(name))]
            if isinstance(value, dict)
            else [value]
        )
        if places and isinstance(places[0], str) and places[0].strip() and (url := absolute(base, places[0])):
            found[url] = None
    return list(found)[:_MOST_IMAGES]


def _gtin(node: Item) -> str:
    for name in ("gtin13", "gtin", "gtin12", "gtin14", "gtin8", "isbn"):
        digits = re.sub(r"[\s-]", "", _text(node, name))
        if re.fullmatch(r"[0-9]{8,14}", digits):
            return digits
    return ""


def _text(node: Item, name: str, *, above: Item | None = None) -> str:
    """The first text of a property, or the name of the thing that it is, on one line; of `above` if there is none."""
    for thing in _list(node.get(name)):
        value = next(iter(_list(thing.get("name"))), "") if isinstance(thing, dict) else thing
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
            if text:
                return text
    return _text(above, name) if above else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _dicts(value: Any) -> list[Item]:
    return [each for each in _list(value) if isinstance(each, dict)]

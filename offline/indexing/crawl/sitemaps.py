"""Sitemaps (sitemaps.org): which pages a site names, and which further sitemaps. Plain, packed by gzip, or as text."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

from lxml import etree

_MOST: Final = 50_000
"""Addresses, as the protocol says."""


@dataclass(slots=True)
class Sitemap:
    """What a sitemap names, and what is wrong with it."""

    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)
    problem: str = ""
    """What was named before it still counts."""


def read_sitemap(data: bytes, max_bytes: int) -> Sitemap:
    """max_bytes: of what is read, unpacked."""
    sitemap = Sitemap()
    if data.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data = unpacker.decompress(data, max_bytes + 1)
        except zlib.error as error:
            return Sitemap(problem=f"is not gzip, as its first bytes say: {error}")
    if len(data) > max_bytes:
        return Sitemap(problem=f"is larger than {max_bytes:,} bytes")
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        _read_xml(start, sitemap)
    else:
        sitemap.pages = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if len(sitemap.pages) + len(sitemap.sitemaps) > _MOST:
        sitemap.problem = f"names more than {_MOST:,} addresses"
        del sitemap.pages[_MOST:], sitemap.sitemaps[_MOST:]
    return sitemap


def _read_xml(data: bytes, sitemap: Sitemap) -> None:
    # Entities stay what they are and nothing is loaded: a sitemap is a stranger's file.
    events = etree.iterparse(
        BytesIO(data), events=("end",), resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
    )
    try:
        for _, element in events:
            parent = element.getparent()
            if parent is None or _name(element) != "loc":
                continue
            found = {"url": sitemap.pages, "sitemap": sitemap.sitemaps}.get(_name(parent))
            if found is not None and (address := (element.text or "").strip()):
                found.append(address)
            if parent.getprevious() is not None:
                parent.getparent().remove(parent.getprevious())  # so that the whole tree is never in memory
        if _name(events.root) not in ("urlset", "sitemapindex"):
            sitemap.problem = f"is <{_name(events.root)[:100]}>; expected <urlset> or <sitemapindex>"
    except etree.XMLSyntaxError as error:
        sitemap.problem = f"is not well-formed XML: {error}"


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""

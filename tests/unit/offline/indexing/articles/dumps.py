"""MediaWiki dumps as their exporter writes them."""

from __future__ import annotations

from xml.sax.saxutils import escape

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="zh">
  <siteinfo>
    <sitename>Encyclopedia</sitename>
    <dbname>testwiki</dbname>
    <base>https://wiki.example/wiki/Main_Page</base>
    <generator>MediaWiki 1.43</generator>
    <case>first-letter</case>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
      <namespace key="6" case="first-letter">文件</namespace>
      <namespace key="14" case="first-letter">分类</namespace>
    </namespaces>
  </siteinfo>
"""


def page(number: int | str, title: str, text: str, *, ns: int = 0, redirect: str = "", model: str = "wikitext") -> str:
    """One page with two revisions, of which the last counts."""
    to = f'<redirect title="{redirect}" />' if redirect else ""
    head = "<id>7</id><timestamp>2026-01-02T03:04:05Z</timestamp><contributor><ip>::1</ip></contributor>"
    revisions = "".join(
        f"<revision>{head}<model>{model}</model><format>text/x-wiki</format>"
        f'<text bytes="1" xml:space="preserve">{escape(each)}</text></revision>'
        for each in ("of yesterday", text)
    )
    return f"<page><title>{escape(title)}</title><ns>{ns}</ns><id>{number}</id>{to}{revisions}</page>\n"


def dump(*pages: str, head: str = HEAD) -> bytes:
    return f"{head}{''.join(pages)}</mediawiki>\n".encode()

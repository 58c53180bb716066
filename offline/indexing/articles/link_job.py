"""Links the catalogue's articles to its products: likely links are written, doubtful ones proposed to people.

What somebody said (score 1) stays. Links that an earlier run found are replaced; an article whose links stay the same
is not written, so a run that was stopped is simply run again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from tqdm import tqdm

from offline.indexing.articles.catalogue import Catalogue, linked, same_links, stated
from offline.indexing.articles.linking import Link, Linker, LinkRule, decide
from offline.indexing.articles.texts import ArticleText, ProductText
from shiwu.v1.catalog_resources_pb2 import Article

_MOST_LINKS: Final = 200
"""Of one article. One about more products is about a kind so common that search finds it anyway; the best are kept."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A link that a person should look at."""

    kind: str
    subject: Mapping[str, str]
    """What would be linked; the proposal's identity."""
    score: float
    evidence: Mapping[str, object]


async def link_articles(catalogue: Catalogue, folder: Path, rule: LinkRule) -> Counter[str]:
    """Links all articles. Writes links.jsonl and proposals.jsonl in `folder`, whole. Shows a progress bar.

    Raises OSError, and a ServiceError when the catalogue does not answer.
    """
    products = [
        ProductText(each.product_id, each.title, each.brand, each.category, each.description)
        async for each in catalogue.products()
    ]
    titles = {product.product_id: product.title for product in products}
    linker = Linker(products, rule)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        links, proposals = (stack.enter_context(_Whole(folder / name)) for name in ("links.jsonl", "proposals.jsonl"))
        bar = stack.enter_context(tqdm(unit=" articles", desc="links"))
        async for article in catalogue.articles():
            text = ArticleText(article.article_id, article.title, article.body, article.category)
            sure, doubtful = decide(linker.links(text), rule)
            said = stated(article)
            sure = [link for link in sure if link.product_id not in said][:_MOST_LINKS]
            doubtful = [link for link in doubtful if link.product_id not in said][:_MOST_LINKS]
            if await _write(article, sure, catalogue):
                counts["articles changed"] += 1
            for link in sure:
                _line(links, asdict(link))
            for link in doubtful:
                _line(proposals, asdict(proposal(link, article, titles[link.product_id])))
            counts.update({"articles": 1, "links": len(sure), "proposals": len(doubtful)})
            bar.update()
    return counts


def proposal(link: Link, article: Article, product_title: str) -> Proposal:
    """A link as a question to people."""
    subject = {"article_id": link.article_id, "product_id": link.product_id}
    evidence = {
        "article_title": article.title,
        "article_url": article.url,
        "product_title": product_title,
        "reasons": dict(link.reasons),
    }
    return Proposal("link", subject, link.score, evidence)


async def _write(article: Article, sure: list[Link], catalogue: Catalogue) -> bool:
    wanted = linked(article.article_id, stated(article), {link.product_id: link.score for link in sure})
    if same_links(article, wanted):
        return False
    await catalogue.update_article(wanted, "product_ids", "product_scores")
    return True


def _line(file: IO[str], content: Mapping[str, object]) -> None:
    file.write(json.dumps(content, ensure_ascii=False) + "\n")


class _Whole:
    """A file to write that is there only when it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")

    def __enter__(self) -> IO[str]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("w", encoding="utf-8")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._part.replace(self._path)

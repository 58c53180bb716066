"""Links the catalogue's articles to its products: likely links are written, doubtful ones proposed to people.

What somebody said (score 1) stays. Links that an earlier run found are replaced; an article whose links stay the same
is not written, so a run that was stopped is simply run again. What people have accepted in the review queue is written
as said, what they have rejected is not written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

from tqdm import tqdm

from offline.indexing.articles.catalogue import Catalogue, linked, same_links, stated
from offline.indexing.articles.linking import Link, Linker, LinkRule, decide
from offline.indexing.articles.texts import ArticleText, ProductText
from offline.review.proposals import Proposal
from offline.review.queue import Question, ReviewQueue, State
from shiwu.v1.catalog_resources_pb2 import Article

_MOST_LINKS: Final = 200
"""Of one article. One about more products is about a kind so common that search finds it anyway; the best are kept."""
_PAGE: Final = 1000


async def link_articles(
    catalogue: Catalogue, folder: Path, rule: LinkRule, queue: ReviewQueue | None = None
) -> Counter[str]:
    """Links all articles. Writes links.jsonl and proposals.jsonl in `folder`, whole. Shows a progress bar.

    queue: where proposals go, too, and where decisions come from. Raises OSError, and a ServiceError when the catalogue
    does not answer.
    """
    products = [
        ProductText(each.product_id, each.title, each.brand, each.category, each.description)
        async for each in catalogue.products()
    ]
    titles = {product.product_id: product.title for product in products}
    linker, decisions = Linker(products, rule), _Decisions(queue)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        links, proposals = (stack.enter_context(_Whole(folder / name)) for name in ("links.jsonl", "proposals.jsonl"))
        bar = stack.enter_context(tqdm(unit=" articles", desc="links"))
        async for article in catalogue.articles():
            text = ArticleText(article.article_id, article.title, article.body, article.category)
            accepted = (key for key in decisions.accepted(article.article_id) if key in titles)
            said = list(dict.fromkeys([*stated(article), *accepted]))
            sure, doubtful = (
                [each for each in some if each.product_id not in said and not decisions.rejected(each)][:_MOST_LINKS]
                for some in decide(linker.links(text), rule)
            )
            wanted = linked(article.article_id, said, {link.product_id: link.score for link in sure})
            if not same_links(article, wanted):
                await catalogue.update_article(wanted, "product_ids", "product_scores")
                counts["articles changed"] += 1
            decisions.applied(article.article_id)
            for link in sure:
                _line(links, asdict(link))
            for link in doubtful:
                _line(proposals, asdict(proposal(link, article, titles[link.product_id])))
            counts.update({"articles": 1, "links": len(sure), "proposals": len(doubtful)})
            bar.update()
    if queue is not None:
        with (folder / "proposals.jsonl").open(encoding="utf-8") as file:
            queue.add((Proposal(**json.loads(line)) for line in file), source="articles")
    return counts


def proposal(link: Link, article: Article, product_title: str) -> Proposal:
    """A link as a question to people."""
    evidence = {
        "article_title": article.title,
        "article_url": article.url,
        "product_title": product_title,
        "reasons": dict(link.reasons),
    }
    return Proposal("link", _subject(link), link.score, evidence)


def _subject(link: Link) -> dict[str, str]:
    return {"article_id": link.article_id, "product_id": link.product_id}


class _Decisions:
    """What people have decided about links."""

    def __init__(self, queue: ReviewQueue | None) -> None:
        self._queue = queue
        self._rejected = {tuple(sorted(each.proposal.subject.items())) for each in self._questions("rejected")}
        self._accepted: dict[str, list[Question]] = {}
        for each in self._questions("accepted"):
            if each.applied is None:
                self._accepted.setdefault(each.proposal.subject["article_id"], []).append(each)

    def rejected(self, link: Link) -> bool:
        """Whether somebody has said no to it."""
        return tuple(sorted(_subject(link).items())) in self._rejected

    def accepted(self, article_id: str) -> list[str]:
        """Products that somebody has said yes to, and the catalogue does not know of yet."""
        return [each.proposal.subject["product_id"] for each in self._accepted.get(article_id, ())]

    def applied(self, article_id: str) -> None:
        """The catalogue knows of them."""
        if self._queue is not None and (done := self._accepted.pop(article_id, [])):
            self._queue.mark_applied([each.proposal.proposal_id for each in done])

    def _questions(self, state: State) -> Iterator[Question]:
        offset = 0
        while self._queue is not None and (page := self._queue.find(state, "link", limit=_PAGE, offset=offset)):
            yield from page
            offset += len(page)


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

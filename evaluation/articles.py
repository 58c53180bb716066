"""How good the links of articles to products are, on a labelled set, against exact titles and plain full-text search.

python -m evaluation.articles [--fit] [--page docs/articles.md]

The set is evaluation/article_links.yaml with the products of the demo's package. Each article belongs to one of two
halves by a hash of its id. --fit finds the linker's weights and thresholds on the first half and writes them to
offline/indexing/articles/rule.yaml; the figures are those of the other half. --page writes them into the page, and the
curve beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from matplotlib.figure import Figure

from evaluation.demo_catalogue import fetch
from evaluation.pages import table, write_section
from offline.indexing.articles.linking import FEATURES, RULE, Linker, LinkRule, decide, read_rule
from offline.indexing.articles.texts import ArticleText, ProductText
from services.catalog.resources import Article, Product
from services.catalog.sql import SqlStore
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import migrate

_SET: Final = Path("evaluation/article_links.yaml")
_CACHE: Final = Path(".cache/demo")
_THRESHOLDS: Final = tuple(i / 10 for i in range(1, 10))
_PRECISE: Final = 0.9
"""Precision on the first half that links need to be written."""
_WORTH_A_LOOK: Final = 0.7
"""And to be proposed."""

Pairs = frozenset[tuple[str, str]]
"""(article_id, product_id)."""


@dataclass(frozen=True)
class LabelledSet:
    """Articles, products, and which belong together."""

    products: Sequence[ProductText]
    articles: Sequence[ArticleText]
    links: Pairs

    def half(self, number: int) -> LabelledSet:
        """The articles of one half, 0 or 1, with all products."""
        articles = [each for each in self.articles if zlib.crc32(each.article_id.encode()) % 2 == number]
        kept = {each.article_id for each in articles}
        return LabelledSet(self.products, articles, frozenset(link for link in self.links if link[0] in kept))


@dataclass(frozen=True)
class Quality:
    """Of links found, against those that there are."""

    found: int
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def quality(found: Collection[tuple[str, str]], links: Pairs) -> Quality:
    """Precision of nothing found is 1."""
    right = len(links.intersection(found))
    return Quality(len(found), right / len(found) if found else 1.0, right / len(links))


def read_set(path: Path, demo: Iterable[ProductText]) -> LabelledSet:
    """The labelled set with the demo's products. Raises ValueError if it names a product that is in neither."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    own = [ProductText(product_id=each.pop("id"), **each) for each in content["products"]]
    products = [*demo, *own]
    links = frozenset((article["id"], key) for article in content["articles"] for key in article["about"])
    if unknown := {key for _, key in links} - {product.product_id for product in products}:
        msg = f"{path} names products that there are not: {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    articles = [
        ArticleText(article["id"], article["title"], article["text"], article.get("category", ""))
        for article in content["articles"]
    ]
    return LabelledSet(products, articles, links)


def fit(half: LabelledSet) -> LinkRule:
    """Weights and thresholds for these articles, by logistic regression."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (only here)

    linker = Linker(half.products, LinkRule())
    pairs = [(article, product) for article in half.articles for product in linker.candidates(article)]
    values = np.array([linker.features(*pair) for pair in pairs])
    right = np.array([(article.article_id, product.product_id) in half.links for article, product in pairs])
    model = LogisticRegression(C=3.0, max_iter=10_000).fit(values, right)
    weights = {name: round(float(weight), 2) for name, weight in zip(FEATURES, model.coef_[0], strict=True)}
    rule = LinkRule(bias=round(float(model.intercept_[0]), 2), weights=weights)
    scored = scores(half, rule)
    thresholds = {"accept": _least(scored, half, _PRECISE), "propose": _least(scored, half, _WORTH_A_LOOK)}
    return rule.model_copy(update=thresholds)


def scores(half: LabelledSet, rule: LinkRule) -> dict[tuple[str, str], float]:
    """Of all candidates."""
    linker = Linker(half.products, rule)
    links = (link for article in half.articles for link in linker.links(article))
    return {(link.article_id, link.product_id): link.score for link in links}


def _least(scored: Mapping[tuple[str, str], float], half: LabelledSet, precision: float) -> float:
    """The lowest threshold from which on links are as precise as this."""
    for step in range(1, 20):
        kept = [pair for pair, score in scored.items() if score >= step / 20]
        if quality(kept, half.links).precision >= precision:
            break
    return step / 20


def exact_titles(half: LabelledSet) -> set[tuple[str, str]]:
    """Links by equal words of both titles, with or without the product's brand."""
    found = set()
    for article in half.articles:
        for product in half.products:
            if article.words and article.words in (product.words, product.words | product.brand_words):
                found.add((article.article_id, product.product_id))
    return found


async def full_text(half: LabelledSet) -> dict[str, set[tuple[str, str]]]:
    """Links by the catalogue's own full-text search: each product's best article by its title."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite+aiosqlite:///{folder}/catalog.db")
        await migrate(database)
        store = SqlStore(database)
        for each in half.articles:
            await store.create_article(Article(each.article_id, each.title, each.body, category=each.category))
        for product in half.products:
            await store.create_product(Product(product.product_id, product.title, product.category))
        every: set[tuple[str, str]] = set()
        some: set[tuple[str, str]] = set()
        for product in half.products:
            for article in await store.search_articles(product.title, offset=0, limit=1):
                every.add((article.article_id, product.product_id))
            _, best = await store.describe([product.product_id], max_articles=1)
            some.update((article.article_id, product.product_id) for article in best)
        await store.close()
    return {
        "full text, all words of the title, first hit": every,
        "full text, any word in the title, first hit": some,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="find weights and thresholds, and keep them")
    parser.add_argument("--page", type=Path, help="page to write the table into")
    options = parser.parse_args()
    demo = [ProductText(p.key, p.title, p.brand, p.category, p.description) for p in fetch(_CACHE)]
    labelled = read_set(_SET, demo)
    if options.fit:
        RULE.write_text(yaml.safe_dump(fit(labelled.half(0)).model_dump(), sort_keys=False))
    rule = read_rule()
    tuned, measured = labelled.half(0), labelled.half(1)
    peers = {"equal titles": exact_titles(measured), **asyncio.run(full_text(measured))}
    lines = _lines(tuned, measured, rule, peers)
    print("\n".join(lines))
    if options.page:
        write_section(options.page, "measured", lines)
        _draw(measured, rule, peers, options.page.with_suffix(".png"))


def _lines(
    tuned: LabelledSet, measured: LabelledSet, rule: LinkRule, peers: Mapping[str, Collection[tuple[str, str]]]
) -> list[str]:
    halves = (tuned, measured)
    scored = [scores(half, rule) for half in halves]
    rows = []
    for threshold in _THRESHOLDS:
        kept = [
            quality([pair for pair, score in each.items() if score >= threshold], half.links)
            for each, half in zip(scored, halves, strict=True)
        ]
        rows.append([f"linker, score from {threshold:g} on", *_cells(kept[1]), f"{kept[0].f1:.2f}"])
    written = [decided(half, rule) for half in halves]
    for what, choose in (("written", 0), ("written or proposed", 1)):
        kept = [quality(each[choose], half.links) for each, half in zip(written, halves, strict=True)]
        rows.append([f"**linker, {what}**", *_cells(kept[1]), f"{kept[0].f1:.2f}"])
    rows += [[name, *_cells(quality(found, measured.links)), ""] for name, found in peers.items()]
    sizes = (
        f"{len(measured.products)} products; {len(measured.articles)} articles with {len(measured.links)} links, "
        f"tuned on {len(tuned.articles)} others with {len(tuned.links)}. "
        f"Written from {rule.accept:g}, proposed from {rule.propose:g} on."
    )
    return [sizes, "", *table(["links", "found", "precision", "recall", "F1", "F1 where tuned"], rows)]


def _cells(figures: Quality) -> list[str]:
    return [str(figures.found), f"{figures.precision:.2f}", f"{figures.recall:.2f}", f"{figures.f1:.2f}"]


def decided(half: LabelledSet, rule: LinkRule) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """What is written, and what is written or proposed."""
    linker = Linker(half.products, rule)
    both = [decide(linker.links(article), rule) for article in half.articles]
    written = {(link.article_id, link.product_id) for sure, _ in both for link in sure}
    return written, written | {(link.article_id, link.product_id) for _, proposed in both for link in proposed}


def _draw(half: LabelledSet, rule: LinkRule, peers: Mapping[str, Collection[tuple[str, str]]], path: Path) -> None:
    scored = scores(half, rule)
    curve = [
        quality([pair for pair, score in scored.items() if score >= threshold], half.links)
        for threshold in sorted(set(scored.values()))
    ]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([each.recall for each in curve], [each.precision for each in curve], label="linker, by threshold")
    written = quality(decided(half, rule)[0], half.links)
    axes.plot(written.recall, written.precision, "o", label="linker, written")
    for name, found in peers.items():
        point = quality(found, half.links)
        axes.plot(point.recall, point.precision, "x", label=name)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower left", fontsize="small")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()

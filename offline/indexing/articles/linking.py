"""Which products an article is about: pure, from words alone.

Products that share a rare word with an article's title, other names or kind are candidates; an inverted index of the
products' titles knows them. Words weigh by their inverse document frequency (Sparck Jones, "A statistical
interpretation of term specificity", 1972). A candidate's score is a logistic function of a few features, whose weights
`python -m evaluation.articles --fit` finds on one half of a labelled set.

An article is about a product if its subject is the product, its line, or the kind of thing that it is: not if it is the
maker, a part or a homonym.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field

from offline.indexing.articles.texts import ArticleText, ProductText

FEATURES: Final = {
    "title": "how much of the article's title, or of another of its names, is in the product's title and brand",
    "lead": "how much of the product's title is in the article's title and first sentences",
    "head": "whether the thing itself is what one of these names names",
    "context": "how much of the first sentences is in what is said of the product",
    "brand": "whether the article names the product's brand",
    "alone": "whether the article's title is the brand alone",
    "company": "whether the title or the kind of thing is a company",
    "number": "whether the article's title has a number that the product's has not: another model",
    "category": "1 if the categories agree, -1 if they do not, 0 if the article has none",
    "topic": "how much closer the article's words are to the product's category than to the others",
    "qualifier": "1 if the title's qualifier is in what is said of the product, -1 if not, 0 if there is none",
}
_PRODUCTS_READ: Final = 50_000
"""Products whose words are held in memory, some kilobytes each; of the others only the text."""
_LITTLE: Final = 3
"""Words; an article of which the catalogue knows no more than these says little about its topic."""
_COMPANIES: Final = frozenset(
    ["company", "corporation", "inc", "ltd", "gmbh", "group", "conglomerate", "manufacturer", "maker", "technology"]
) | frozenset(["公司", "企业", "集团"])


class LinkRule(BaseModel):
    """The weights of the features, and what is done with a score. `python -m evaluation.articles --fit` prints one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bias: float = 0.0
    weights: dict[str, float] = Field(default_factory=dict)
    accept: float = Field(0.6, gt=0, lt=1)
    """Links from this score on are written."""
    propose: float = Field(0.3, gt=0, lt=1)
    """From this score on they are proposed to people."""
    margin: float = Field(0.1, ge=0)
    """An article whose best products of two categories are as close as this is ambiguous: all is proposed."""


RULE: Final = Path(__file__).with_name("rule.yaml")
"""What `python -m evaluation.articles --fit` has found."""


def read_rule(path: Path = RULE) -> LinkRule:
    """Raises OSError, and ValueError for a file that is no rule."""
    return LinkRule.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Link:
    """A product that an article may be about."""

    article_id: str
    product_id: str
    category: str
    """The product's."""
    score: float
    """0 to 1, never quite: 1 is what people say."""
    reasons: Mapping[str, float]
    """What each feature adds to the log odds, the strongest first, without those that add nothing."""


class Linker:
    """An inverted index of a catalogue's products."""

    def __init__(self, products: Iterable[ProductText], rule: LinkRule, *, most_products: int = 1000) -> None:
        """most_products: a word in more titles than this is not rare, and makes no candidates."""
        self._products = list(products)
        self._rule = rule
        titles: defaultdict[str, list[int]] = defaultdict(list)
        documents: Counter[str] = Counter()
        topics: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for number, product in enumerate(map(replace, self._products)):  # copies, whose words are let go of
            for word in product.title_and_brand:
                titles[word].append(number)
            documents.update(product.all_words)
            topics[product.category].update(product.all_words)
        self._titles = {word: numbers for word, numbers in titles.items() if len(numbers) <= most_products}
        self._documents = documents
        self._product = lru_cache(_PRODUCTS_READ)(lambda number: replace(self._products[number]))
        self._topics = {category: _share(words, documents) for category, words in topics.items()}

    def candidates(self, article: ArticleText) -> list[ProductText]:
        """Products that share a rare word with the article's title or its first sentence, in the products' order."""
        numbers = {number for word in article.names | article.kind for number in self._titles.get(word, ())}
        return [self._product(number) for number in sorted(numbers)]

    def features(self, article: ArticleText, product: ProductText) -> list[float]:
        """Of a pair, in the order of `FEATURES`."""
        title, brand = article.words, product.brand_words
        everything = title | article.lead
        return [
            max(self._part(each, product.title_and_brand) for each in article.titles),
            self._part(product.words, everything),
            float(product.head in article.heads),
            self._part(article.lead & self._documents.keys(), product.all_words, more=_LITTLE),
            float(bool(brand) and brand <= everything),
            float(bool(title) and title <= brand | _COMPANIES),
            float(bool(_COMPANIES & (article.kind | title))),
            float(any(word.isnumeric() for word in title - product.title_and_brand)),
            0.0 if not article.category else 1.0 if article.category == product.category else -1.0,
            self._topic(article, product.category),
            0.0 if not article.qualifier else 1.0 if article.qualifier & product.all_words else -1.0,
        ]

    def links(self, article: ArticleText) -> list[Link]:
        """All candidates, the best first."""
        found = [self._link(article, product) for product in self.candidates(article)]
        return sorted(found, key=lambda link: (-link.score, link.product_id))

    def _link(self, article: ArticleText, product: ProductText) -> Link:
        values = zip(FEATURES, self.features(article, product), strict=True)
        parts = {name: self._rule.weights.get(name, 0.0) * value for name, value in values}
        odds = self._rule.bias + sum(parts.values())
        score = min(max(1 / (1 + math.exp(-odds)), 0.001), 0.999)
        strongest = sorted(parts.items(), key=lambda part: -abs(part[1]))
        reasons = {name: round(part, 3) for name, part in strongest if part}
        return Link(article.article_id, product.product_id, product.category, round(score, 3), reasons)

    def _part(self, words: frozenset[str], others: frozenset[str], *, more: int = 0) -> float:
        """How much of the words, by weight, is among the others; of these and so many rare ones more."""
        whole = self._weight(words) + more * math.log(1 + len(self._products))
        return self._weight(words & others) / (whole or 1.0)

    def _weight(self, words: Iterable[str]) -> float:
        return sum(math.log(1 + len(self._products) / (1 + self._documents[word])) for word in sorted(words))

    def _topic(self, article: ArticleText, category: str) -> float:
        """The category's share of the article's words that the catalogue knows, against an even share."""
        known = [word for word in article.words | article.lead | article.qualifier if word in self._documents]
        if not known or len(self._topics) < 2:
            return 0.0
        shares = [self._topics[category].get(word, 0.0) for word in sorted(known)]
        return (sum(shares) - len(shares) / len(self._topics)) / (len(shares) + _LITTLE)


def _share(words: Counter[str], documents: Counter[str]) -> dict[str, float]:
    return {word: count / documents[word] for word, count in words.items()}


def decide(links: Sequence[Link], rule: LinkRule) -> tuple[list[Link], list[Link]]:
    """Of one article's links those to write, and those to propose to people.

    Weak ones are proposed. So is what lies in another category than the best; and all, where it is a close call between
    two categories: a title that means two things.
    """
    likely = [link for link in links if link.score >= rule.propose]
    if not likely:
        return [], []
    best = max(likely, key=lambda link: link.score)
    rival = max((link.score for link in likely if link.category != best.category), default=0.0)
    clear = best.score - rival > rule.margin
    sure: list[Link] = []
    doubtful: list[Link] = []
    for link in likely:
        good = clear and link.score >= rule.accept and link.category == best.category
        (sure if good else doubtful).append(link)
    return sure, doubtful

"""What products and articles say of themselves, as words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from shiwu.words import query_words, title_words

_QUALIFIER: Final = re.compile(r"\s*[(\uff08]([^()\uff08\uff09]*)[)\uff09]\s*$")
"""What tells homonyms apart at the end of a title: "Tablet (pharmacy)"."""
_LEAD: Final = 400
"""Characters of the body that say what the article is about."""
_SENTENCE: Final = re.compile(r"(?<=[^A-Z\s.]{2})\.\s|[\u3002\n]")
_IS: Final = re.compile(r"\b(?:is|are|was|were)\b|是")
"""Parts the names from the kind of thing: "A couch, also known as a sofa, is a piece of furniture"."""
_NAMES: Final = re.compile(
    r"[,;:()\uff0c\uff1b\u3001\uff08\uff09]|\b(?:or|and|also|known|called|commonly|shortened|as|the|a|an)\b"
    r"|又称为?|又稱為?|也称|也稱|简称|簡稱|或称|俗称|俗稱"
)
_KIND_ENDS: Final = re.compile(r"[,;:\uff0c]|\b(?:which|that|who|where|whose|in|on|at|for|with|by|from|to|used|made)\b")
_PARTS: Final = re.compile(r"[,;:!?\uff0c]|\b(?:of|for|with|in|on|to|by|from|at|is|are)\b", re.IGNORECASE)
"""Where a title's noun phrases end: "The best shoes of the year"."""
_UNITS: Final = frozenset(["g", "kg", "ml", "l", "cm", "mm", "m", "inch", "in", "pc", "pcs", "pack", "set", "size"])
_CHARACTERS_OF_KIND: Final = 5
"""In Chinese the kind of thing stands last: ...设计的运动鞋."""


def head(text: str) -> str:
    """The last word that names a thing: "camera" of "Instant camera", "奶糖" of "大白兔奶糖 500克"; empty if none."""
    named = [word for word in title_words(text) if len(word) > 1 and word not in _UNITS and not _has_digit(word)]
    return named[-1] if named else ""


def _heads(texts: Iterable[str | None]) -> frozenset[str]:
    return frozenset(filter(None, (head(each) for each in texts if each)))


def _with_numbers(title: str) -> frozenset[str]:
    return frozenset(title_words(title)) | {word for word in query_words(title) if word.isnumeric()}


def _has_digit(word: str) -> bool:
    return any(character.isdigit() for character in word)


@dataclass(frozen=True)
class ProductText:
    """What is said of a product."""

    product_id: str
    title: str
    brand: str = ""
    category: str = ""
    description: str = ""

    @cached_property
    def brand_words(self) -> frozenset[str]:
        """Of the brand."""
        return frozenset(query_words(self.brand))

    @cached_property
    def words(self) -> frozenset[str]:
        """Of the title, without fillers and numbers."""
        return frozenset(title_words(self.title) or query_words(self.title))

    @cached_property
    def title_and_brand(self) -> frozenset[str]:
        """All words of both, numbers too: they tell models apart."""
        return frozenset(query_words(self.title)) | self.brand_words

    @cached_property
    def all_words(self) -> frozenset[str]:
        """With those of the description."""
        return self.title_and_brand | frozenset(title_words(self.description))

    @cached_property
    def head(self) -> str:
        """The thing itself."""
        return head(self.title)


@dataclass(frozen=True)
class ArticleText:
    """What is said in an article."""

    article_id: str
    title: str
    body: str = ""
    category: str = ""

    @cached_property
    def words(self) -> frozenset[str]:
        """Of the title without its qualifier; with numbers."""
        return _with_numbers(_QUALIFIER.sub("", self.title))

    @cached_property
    def qualifier(self) -> frozenset[str]:
        """Words that tell homonyms apart, at the end of the title."""
        found = _QUALIFIER.search(self.title)
        return frozenset(query_words(found[1])) if found else frozenset()

    @cached_property
    def _definition(self) -> tuple[str, str]:
        """The first sentence: its names for the subject, and the kind of thing that it says the subject is."""
        sentence = _SENTENCE.split(self.body[:_LEAD], maxsplit=1)[0]
        found = _IS.search(sentence)
        if not found:
            return "", ""
        names, rest = sentence[: found.start()], sentence[found.end() :]
        kind = next(filter(None, (part.strip() for part in _KIND_ENDS.split(rest))), "")
        return names, kind[-_CHARACTERS_OF_KIND:] if found[0] == "是" else kind

    @cached_property
    def titles(self) -> list[frozenset[str]]:
        """Words of the title, and of each other name that the first sentence has for the subject."""
        others = (_with_numbers(name) for name in _NAMES.split(self._definition[0]) if name)
        return [self.words, *filter(None, others)]

    @cached_property
    def names(self) -> frozenset[str]:
        """Words of the title, and of what else the first sentence calls the subject."""
        return self.words | frozenset(title_words(self._definition[0]))

    @cached_property
    def kind(self) -> frozenset[str]:
        """Words for the kind of thing that the first sentence says the subject is."""
        return frozenset(query_words(self._definition[1]))

    @cached_property
    def heads(self) -> frozenset[str]:
        """The things that the title and the first sentence's names name."""
        title = _QUALIFIER.sub("", self.title)
        return _heads([title, *_PARTS.split(title)]) | _heads(_NAMES.split(self._definition[0]))

    @cached_property
    def lead(self) -> frozenset[str]:
        """Words of the first sentences."""
        return frozenset(title_words(self.body[:_LEAD]))

"""The words of a text, for looking it up: the same on every database, whatever its own text search can do.

Chinese, Japanese and Korean are written without spaces; they are looked up by pairs of characters (bigrams), the
plain remedy that needs no dictionary. Traditional characters count as the simplified ones of OpenCC's table, each by
itself, so that a text is found by any part of it. English plurals meet their singulars by the S stemmer (Harman, "How
effective is suffixing?", 1991).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import opencc

_EAST_ASIAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_RUN = re.compile(rf"([{_EAST_ASIAN}]+)|([^\W_{_EAST_ASIAN}]+)")
_LONGEST = 64
"""Characters of a word that count; longer ones are codes or noise."""
_FILLERS = frozenset(
    {"a", "an", "and", "as", "at", "by", "for", "from", "how", "in", "into", "is", "it", "its", "of", "on", "or", "our"}
    | {"set", "that", "the", "this", "to", "was", "what", "with", "your"}
)


def _simplified() -> dict[int, str]:
    characters = [*map(chr, range(0x3400, 0x4DC0)), *map(chr, range(0x4E00, 0xA000))]
    simplified = opencc.OpenCC("t2s").convert("\n".join(characters)).split("\n")
    return {ord(old): new for old, new in zip(characters, simplified, strict=True) if old != new}


_SIMPLIFIED = _simplified()


def index_words(text: str) -> Iterator[str]:
    """The words that a text is found by, in its order; lower case, without white space or punctuation."""
    for east_asian, word in _RUN.findall(_folded(text)):
        if east_asian:
            yield from east_asian
            yield from _pairs(east_asian)
        else:
            yield stem(word)


def query_words(text: str) -> list[str]:
    """The words that a query looks for, each once; words in a row of East Asian characters are its pairs."""
    words: dict[str, None] = {}
    for east_asian, word in _RUN.findall(_folded(text)):
        if len(east_asian) > 1:
            words.update(dict.fromkeys(_pairs(east_asian)))
        else:
            words[east_asian or stem(word)] = None
    return list(words)


def title_words(title: str) -> list[str]:
    """The words of a title that say what a thing is: without fillers, numbers and single Latin letters."""
    return [word for word in query_words(title) if not (word in _FILLERS or word.isnumeric() or _is_letter(word))]


def stem(word: str) -> str:
    """An English plural as its singular; other words as they are."""
    if len(word) > 3 and word.isascii():
        if word.endswith("ies") and not word.endswith(("eies", "aies")):
            word = word[:-3] + "y"
        elif word.endswith("s") and not word.endswith(("us", "ss")):
            word = word[:-1]
    return word[:_LONGEST]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().translate(_SIMPLIFIED)


def _pairs(run: str) -> Iterator[str]:
    return (run[i : i + 2] for i in range(len(run) - 1))


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isascii()

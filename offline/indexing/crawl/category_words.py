"""A guess at a product's category, from what its page calls it: Google's taxonomy, breadcrumbs, the words of a path.

The guess may be wrong or missing; the vote over its pictures corrects what it can.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from shiwu.google_taxonomy import category_of

# The words of shops' own paths, in English, German and Chinese.
_WORDS: Final = {
    "shoes": "shoe sneaker boot sandal slipper footwear schuhe stiefel 鞋 靴",
    "bags": "bag handbag backpack wallet purse luggage suitcase tasche taschen rucksack koffer 包袋 背包 箱包 钱包",
    "beauty": "beauty cosmetic makeup skincare perfume fragrance shampoo kosmetik parfum 美妆 护肤 香水",
    "clothing": "clothing clothes apparel shirt t-shirt dress jacket coat jeans trousers skirt sweater hoodie pants "
    "kleidung hosen jacken 服装 衬衫 裙 外套 裤",
    "appliances": "appliance electronics camera laptop phone computer headphone kettle toaster vacuum "
    "elektronik kamera 家电 数码 相机 手机 电脑 耳机",
    "toys": "toy game puzzle lego doll spielzeug spielwaren 玩具",
    "books": "book ebook novel comic buch bücher 图书 书籍",
    "food": "food grocery groceries snack drink beverage coffee tea wine lebensmittel getränke 食品 零食 饮料 茶叶",
    "jewellery": "jewellery jewelry necklace earring bracelet ring watch schmuck uhren 珠宝 首饰 项链 手表",
    "furniture": "furniture sofa chair table desk shelf shelves lamp lighting möbel stuhl tisch regal 家具 沙发 椅 桌",
}
_LATIN: Final = {
    word + ending: category
    for category, words in _WORDS.items()
    for word in words.split()
    if word[0] < "⺀"
    for ending in ("", "s", "es")
}
_CHINESE: Final = {word: category for category, words in _WORDS.items() for word in words.split() if word[0] >= "⺀"}


def guess_category(paths: Iterable[str], trail: Iterable[str]) -> str:
    """One of our categories; empty if nothing tells.

    paths: what the product itself names, as "A > B > C". trail: its breadcrumbs, the widest first.
    """
    named = list(paths)
    for path in named:
        if (category := category_of(path)) and category != "other":
            return category
    # The narrowest first: "Kitchen > Tables" is furniture, and "Women > Shoes > Care" is of shoes.
    steps = [step for path in named for step in reversed(re.split(r"[>/|»]", path))]
    for step in [*steps, *reversed(list(trail))]:
        if category := _of_words(step.lower()):
            return category
    return "other" if any(category_of(path) for path in named) else ""


def _of_words(text: str) -> str:
    """The category that the words of a text name; empty if they name none, or several."""
    found = {category for word, category in _CHINESE.items() if word in text}
    found |= {_LATIN[word] for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", text) if word in _LATIN}
    return found.pop() if len(found) == 1 else ""

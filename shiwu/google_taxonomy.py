"""Google's product taxonomy, as far as it decides a category of ours.

The table names nodes of the taxonomy (https://www.google.com/basepages/producttype/taxonomy-with-ids.en-US.txt) by id
and path; a path belongs to the longest node in the table that it begins with. Every top-level node is in it, so every
path of the taxonomy has a category; an id is known only if it is in the table.
"""

from __future__ import annotations

from typing import Final

_NODES: Final = (
    (1, "Animals & Pet Supplies", "other"),
    (166, "Apparel & Accessories", "clothing"),
    (173, "Apparel & Accessories > Clothing Accessories > Hats", "other"),
    (2020, "Apparel & Accessories > Clothing Accessories > Headwear", "other"),
    (178, "Apparel & Accessories > Clothing Accessories > Sunglasses", "other"),
    (1604, "Apparel & Accessories > Clothing", "clothing"),
    (167, "Apparel & Accessories > Clothing Accessories", "clothing"),
    (184, "Apparel & Accessories > Costumes & Accessories", "clothing"),
    (6552, "Apparel & Accessories > Handbag & Wallet Accessories", "bags"),
    (6551, "Apparel & Accessories > Handbags, Wallets & Cases", "bags"),
    (3032, "Apparel & Accessories > Handbags, Wallets & Cases > Handbags", "bags"),
    (2668, "Apparel & Accessories > Handbags, Wallets & Cases > Wallets & Money Clips", "bags"),
    (188, "Apparel & Accessories > Jewelry", "jewellery"),
    (201, "Apparel & Accessories > Jewelry > Watches", "jewellery"),
    (1933, "Apparel & Accessories > Shoe Accessories", "shoes"),
    (187, "Apparel & Accessories > Shoes", "shoes"),
    (8, "Arts & Entertainment", "other"),
    (537, "Baby & Toddler", "other"),
    (2847, "Baby & Toddler > Baby Toys & Activity Equipment", "toys"),
    (111, "Business & Industrial", "other"),
    (141, "Cameras & Optics", "appliances"),
    (222, "Electronics", "appliances"),
    (412, "Food, Beverages & Tobacco", "food"),
    (436, "Furniture", "furniture"),
    (632, "Hardware", "other"),
    (469, "Health & Beauty", "beauty"),
    (491, "Health & Beauty > Health Care", "other"),
    (536, "Home & Garden", "other"),
    (696, "Home & Garden > Decor", "furniture"),
    (604, "Home & Garden > Household Appliances", "appliances"),
    (730, "Home & Garden > Kitchen & Dining > Kitchen Appliances", "appliances"),
    (594, "Home & Garden > Lighting", "furniture"),
    (5181, "Luggage & Bags", "bags"),
    (772, "Mature", "other"),
    (783, "Media", "other"),
    (784, "Media > Books", "books"),
    (922, "Office Supplies", "other"),
    (5605, "Religious & Ceremonial", "other"),
    (2092, "Software", "other"),
    (988, "Sporting Goods", "other"),
    (1239, "Toys & Games", "toys"),
    (888, "Vehicles & Parts", "other"),
)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()).lower() for part in path.split(">"))


_BY_ID: Final = {str(number): category for number, _, category in _NODES}
_BY_PATH: Final = {_parts(path): category for _, path, category in _NODES}


def category_of(node: str) -> str | None:
    """The category of a node of Google's taxonomy, given as an id or as a path ("Media > Books"); None if unknown."""
    if node.strip().isdigit():
        return _BY_ID.get(node.strip())
    parts = _parts(node)
    for length in range(len(parts), 0, -1):
        if category := _BY_PATH.get(parts[:length]):
            return category
    return None

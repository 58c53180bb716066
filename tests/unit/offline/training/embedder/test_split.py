from __future__ import annotations

from pathlib import Path

from offline.training.embedder.split import split_items
from offline.training.items import Item


def _item(dataset: str, style: int | None, product: int, split: str = "train") -> Item:
    return Item(
        dataset=dataset,
        path=Path(f"{dataset}/{style}/{product}.jpg"),
        role="photo",
        split=split,
        product_id=None if style is None else f"{dataset}:{product}",
        style_id=None if style is None else f"{dataset}:{style}",
        category=None,
        label=None,
        title=None,
        price=None,
        currency=None,
        boxes=None,
    )


_ITEMS = [
    *(
        _item(d, n // 2, n, split)
        for d in ("grocery", "magento", "ycb")
        for n in range(80)
        for split in ("train", "val")
    ),
    *(_item("clothing", None, n) for n in range(5)),
]


def test_no_style_is_on_both_sides() -> None:
    split = split_items(_ITEMS)
    held = {item.style_id for item in split.held_out}
    assert not held & {item.style_id for item in (*split.train, *split.validation)}
    assert len(split.train) + len(split.validation) + len(split.held_out) == len(_ITEMS)


def test_holds_out_the_share_of_every_set() -> None:
    split = split_items(_ITEMS)
    for dataset, least in (("grocery", 24), ("magento", 20), ("ycb", 20)):
        products = {item.product_id for item in split.held_out if item.dataset == dataset}
        assert least <= len(products) <= least + 2


def test_validation_is_the_photos_that_the_source_set_apart() -> None:
    split = split_items(_ITEMS)
    assert split.validation
    assert all(item.dataset == "grocery" and item.split == "val" for item in split.validation)


def test_depends_on_the_seed_alone() -> None:
    assert split_items(_ITEMS, 3) == split_items(list(_ITEMS), 3)
    assert split_items(_ITEMS, 3) != split_items(_ITEMS, 4)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline.training.items import ItemsError, LabelledBox, load_items

_ROW = {
    "image": "a.jpg",
    "role": "photo",
    "product_id": "p",
    "style_id": None,
    "category": "food",
    "label": "A",
    "title": None,
    "price": 2.5,
    "currency": "USD",
    "split": "train",
    "boxes": [[1, 2, 3, 4.5, "cup"], [0, 0, 9, 9, "person"]],
    "product": [True, False],
}


def _write(data: Path, *lines: str) -> None:
    (data / "shop").mkdir()
    (data / "shop" / "items.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_reads_rows_with_boxes(tmp_path: Path) -> None:
    _write(tmp_path, json.dumps(_ROW), json.dumps({**_ROW, "image": "b.jpg", "boxes": None}))
    first, second = load_items(tmp_path, ["shop"])
    assert first.dataset == "shop"
    assert first.path == tmp_path / "shop" / "a.jpg"
    assert first.boxes == (
        LabelledBox((1.0, 2.0, 3.0, 4.5), "cup", product=True),
        LabelledBox((0.0, 0.0, 9.0, 9.0), "person", product=False),
    )
    assert second.boxes is None


@pytest.mark.parametrize("line", ["{", "{}", json.dumps({**_ROW, "product": [True]}), "[]"])
def test_names_the_line_that_cannot_be_read(tmp_path: Path, line: str) -> None:
    _write(tmp_path, json.dumps(_ROW), line)
    with pytest.raises(ItemsError, match="line 2"):
        load_items(tmp_path, ["shop"])


def test_names_a_missing_set(tmp_path: Path) -> None:
    with pytest.raises(ItemsError, match="nothing"):
        load_items(tmp_path, ["nothing"])

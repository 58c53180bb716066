"""What becomes the catalogue and what is scanned."""

from __future__ import annotations

import json

import pytest

from evaluation.dataset import DatasetError, read_dataset

ROW = {
    "style_id": None,
    "category": "food",
    "label": None,
    "title": None,
    "price": None,
    "currency": None,
    "boxes": None,
}


def folder(tmp_path, rows, name="grocery"):
    place = tmp_path / name
    place.mkdir()
    lines = [
        json.dumps(ROW | {"image": image, "role": role, "split": split, "product_id": product, "style_id": product})
        for image, role, split, product in rows
    ]
    (place / "items.jsonl").write_text("\n".join(lines))
    return place


def names(items):
    return [item.path.name for item in items]


def test_query_rows_are_scanned_against_gallery_rows(tmp_path):
    rows = [("g.jpg", "merchant", "gallery", "a"), ("q.jpg", "photo", "query", "a"), ("t.jpg", "photo", "train", "a")]
    data = read_dataset(folder(tmp_path, rows))
    assert (names(data.gallery), names(data.queries)) == (["g.jpg"], ["q.jpg"])


def test_without_query_rows_the_validation_photos_are_scanned(tmp_path):
    rows = [("g.jpg", "merchant", "gallery", "a"), ("v.jpg", "photo", "val", "a"), ("t.jpg", "photo", "train", "a")]
    assert names(read_dataset(folder(tmp_path, rows)).queries) == ["v.jpg"]


def test_without_a_gallery_one_picture_of_each_product_is_left_out(tmp_path):
    rows = [(f"{product}{i}.jpg", "merchant", "train", product) for product in "abc" for i in range(3)]
    rows.append(("lone.jpg", "merchant", "train", "d"))
    data = read_dataset(folder(tmp_path, rows))
    assert sorted(item.product_id for item in data.queries) == ["a", "b", "c"]
    assert len(data.gallery) == 7
    assert set(names(data.gallery)).isdisjoint(names(data.queries))
    assert read_dataset(data.gallery[0].path.parent) == data, "the same every time"


def test_a_limit_draws_the_same_photos_every_time(tmp_path):
    rows = [("g.jpg", "merchant", "gallery", "a")] + [(f"{i}.jpg", "photo", "query", "a") for i in range(20)]
    place = folder(tmp_path, rows)
    assert names(read_dataset(place, 5).queries) == names(read_dataset(place, 5).queries)
    assert len(read_dataset(place, 5).queries) == 5


def test_scopes_keep_to_products_that_were_not_trained_on(tmp_path):
    rows = [(f"{i}.jpg", "merchant", "gallery", f"p{i}") for i in range(20)]
    rows += [(f"{i}-{split}.jpg", "photo", split, f"p{i}") for i in range(20) for split in ("train", "val")]
    place = folder(tmp_path, rows)
    alone, among = read_dataset(place, scope="held-out"), read_dataset(place, scope="held-out-among-all")
    assert len(alone.gallery) == 6, "about 30 % of grocery's classes are held out"
    assert len(among.gallery) == 20
    assert alone.queries == among.queries
    assert len(alone.queries) == 12, "training never saw them, so photos of either split will do"
    assert {item.product_id for item in alone.queries} == {item.product_id for item in alone.gallery}


def test_a_folder_without_anything_to_scan_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no product with both a gallery picture and a picture to scan"):
        read_dataset(folder(tmp_path, [("g.jpg", "merchant", "gallery", "a")]))


def test_absent_products_are_a_fixed_share(tmp_path):
    rows = [(f"g{i}.jpg", "merchant", "gallery", f"p{i}") for i in range(20)]
    rows += [(f"q{i}.jpg", "photo", "query", f"p{i}") for i in range(20)]
    data = read_dataset(folder(tmp_path, rows))
    assert len(data.absent_products(0.25)) == 5
    assert data.absent_products(0.25) == data.absent_products(0.25)

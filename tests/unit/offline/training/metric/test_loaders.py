from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from offline.training.items import Item, ItemsError
from offline.training.metric.config import ImageSet
from offline.training.metric.loaders import load_sets
from offline.training.metric.pictures import squares

_VOC = """<annotation><filename>a.png</filename><object><name>cup</name><bndbox>
<xmin>{}</xmin><ymin>11</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"""


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((60, 80, 3), 90, np.uint8)
    pixels[10:40, 20:30] = (0, 0, 250)
    cv2.imwrite(str(path), pixels)


def _coco(data: Path) -> None:
    _picture(data / "set" / "images" / "a.png")
    content = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "cup"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [20, 10, 10, 30]}],
    }
    (data / "set" / "annotations.json").write_text(json.dumps(content))


def _voc(data: Path, left: str = "21") -> None:
    _picture(data / "set" / "JPEGImages" / "a.png")
    (data / "set" / "Annotations").mkdir()
    (data / "set" / "Annotations" / "a.xml").write_text(_VOC.format(left))


def _load(data: Path, how: str) -> tuple[Item, ...]:
    return load_sets(data, [ImageSet.model_validate({"name": "set", "format": how})])


def test_a_class_folder_is_a_product(tmp_path: Path) -> None:
    _picture(tmp_path / "set" / "train" / "cup" / "1.png")
    _picture(tmp_path / "set" / "val" / "cup" / "2.png")
    _picture(tmp_path / "set" / "jug" / "3.png")
    found = {(item.path.name, item.product_id, item.split) for item in _load(tmp_path, "folders")}
    assert found == {("1.png", "set:cup", "train"), ("2.png", "set:cup", "val"), ("3.png", "set:jug", "train")}


@pytest.mark.parametrize(("how", "make"), [("coco", _coco), ("voc", _voc)])
def test_a_box_is_a_picture_of_its_class(tmp_path: Path, how: str, make: object) -> None:
    make(tmp_path)  # type: ignore[operator]
    (item,) = _load(tmp_path, how)
    assert item.product_id == "set:cup"
    assert item.boxes is not None
    assert item.boxes[0].corners == (20, 10, 30, 40)
    (square,) = squares([item], 32).numpy()
    # The box is upright, 10 x 30 pixels, all red, letterboxed.
    assert square[16, 16].tolist() == [250, 0, 0, 255]
    assert square[16, 2].tolist() == [127, 127, 127, 255]


@pytest.mark.parametrize("how", ["items", "folders", "coco", "voc"])
def test_names_a_missing_set(tmp_path: Path, how: str) -> None:
    with pytest.raises(ItemsError, match="set"):
        _load(tmp_path, how)


def test_names_a_broken_annotation(tmp_path: Path) -> None:
    _voc(tmp_path, left="wide")
    with pytest.raises(ItemsError, match=r"a\.xml"):
        _load(tmp_path, "voc")
    _coco(tmp_path)
    (tmp_path / "set" / "annotations.json").write_text("{}")
    with pytest.raises(ItemsError, match=r"annotations\.json"):
        _load(tmp_path, "coco")

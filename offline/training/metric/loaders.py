"""Reading image sets of the usual layouts as items.

All of them are folders under the data folder: `items.jsonl` (offline/training/items.py), class folders
(`train/CLASS/*.jpg` or `CLASS/*.jpg`), COCO (`annotations.json` and `images/`) and Pascal VOC (`Annotations/*.xml`
and `JPEGImages/`). A class folder is a product; a box of COCO or VOC is a picture of its class.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from offline.training.items import Item, ItemsError, LabelledBox, load_items
from offline.training.metric.config import ImageSet

_PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_SPLITS: Final = frozenset({"train", "val", "query", "gallery"})


def load_sets(data: Path, sets: Sequence[ImageSet]) -> tuple[Item, ...]:
    """All items of the sets, set after set. Raises ItemsError naming what is missing or cannot be read."""
    return tuple(item for one in sets for item in _READERS[one.format](data, one.name))


def _items(data: Path, name: str) -> Iterator[Item]:
    yield from load_items(data, [name])


def _folders(data: Path, name: str) -> Iterator[Item]:
    root = data / name
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in _PICTURES)
    if not paths:
        msg = f"no pictures in {root}"
        raise ItemsError(msg)
    for path in paths:
        *above, label = path.relative_to(root).parts[:-1]
        yield _item(name, path, label, above[0] if above and above[0] in _SPLITS else "train")


def _coco(data: Path, name: str) -> Iterator[Item]:
    """Lin et al., Microsoft COCO, ECCV 2014; boxes are x, y, width, height."""
    path = data / name / "annotations.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        labels = {row["id"]: row["name"] for row in content["categories"]}
        files = {row["id"]: row["file_name"] for row in content["images"]}
        for row in content["annotations"]:
            x, y, width, height = row["bbox"]
            box = LabelledBox((x, y, x + width, y + height), labels[row["category_id"]], product=True)
            yield _boxed(name, data / name / "images" / files[row["image_id"]], box)
    except (OSError, KeyError, TypeError, ValueError) as error:
        msg = f"{path} cannot be read as COCO: {error!r}"
        raise ItemsError(msg) from error


def _voc(data: Path, name: str) -> Iterator[Item]:
    """Everingham et al., The Pascal VOC Challenge, IJCV 2010; boxes are corners, the first pixel is 1."""
    root = data / name
    paths = sorted((root / "Annotations").glob("*.xml"))
    if not paths:
        msg = f"no annotations in {root}"
        raise ItemsError(msg)
    for path in paths:
        try:
            tree = ET.parse(path).getroot()  # noqa: S314  one's own training data
            image = root / "JPEGImages" / _text(tree, "filename")
            for thing in tree.iter("object"):
                x1, y1, x2, y2 = (float(_text(thing, f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
                yield _boxed(name, image, LabelledBox((x1 - 1, y1 - 1, x2, y2), _text(thing, "name"), product=True))
        except (OSError, ET.ParseError, ValueError) as error:
            msg = f"{path} cannot be read as VOC: {error}"
            raise ItemsError(msg) from error


def _text(element: ET.Element, path: str) -> str:
    found = element.findtext(path)
    if found is None:
        msg = f"no {path}"
        raise ValueError(msg)
    return found


def _boxed(name: str, path: Path, box: LabelledBox) -> Item:
    return replace(_item(name, path, box.label, "train"), boxes=(box,))


def _item(name: str, path: Path, label: str, split: str) -> Item:
    product = f"{name}:{label}"
    return Item(
        dataset=name,
        path=path,
        role="photo",
        split=split,
        product_id=product,
        style_id=product,
        category=None,
        label=label,
        title=None,
        price=None,
        currency=None,
        boxes=None,
    )


_READERS: Final = {"items": _items, "folders": _folders, "coco": _coco, "voc": _voc}

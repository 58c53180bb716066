"""COCO: one JSON file. Only boxes are carried over: masks, keypoints, captions, licences and ids are not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from offline.annotation.labels import (
    LabelError,
    Labelled,
    LabelSet,
    Picture,
    corners_in,
    file_in,
    label_set,
    read_text,
    size_in,
)


def read(path: Path) -> LabelSet:
    """Categories in the order of their ids."""
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        if isinstance(error, LabelError):
            raise
        msg = f"{path} is not JSON: {error}"
        raise LabelError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path}: an object with images, categories and annotations is expected"
        raise LabelError(msg)
    images, categories, annotations = (_rows(content, key, path) for key in ("images", "categories", "annotations"))
    names = {_get(row, "id", int, where): _get(row, "name", str, where) for where, row in categories}
    pictures: dict[int, Picture] = {}
    for where, row in images:
        width, height = size_in(_get(row, "width", int, where), _get(row, "height", int, where), where)
        number = _get(row, "id", int, where)
        pictures[number] = Picture(file_in(_get(row, "file_name", str, where), where), width, height, ())
    _all_different(names, categories, f"{path}: categories")
    _all_different(pictures, images, f"{path}: images")
    boxes: dict[int, list[Labelled]] = {number: [] for number in pictures}
    for where, row in annotations:
        picture = pictures.get(_get(row, "image_id", int, where))
        name = names.get(_get(row, "category_id", int, where))
        if picture is None or name is None:
            what = "image_id" if picture is None else "category_id"
            msg = f"{where}: {what} {row[what]} is not listed"
            raise LabelError(msg)
        boxes[row["image_id"]].append(_box(row, name, picture, where))
    filled = [Picture(p.file, p.width, p.height, tuple(boxes[number])) for number, p in pictures.items()]
    return label_set([names[number] for number in sorted(names)], filled, path)


def write(labels: LabelSet, path: Path) -> None:
    """Ids count from 1, in the order of the set."""
    numbers = {name: number for number, name in enumerate(labels.labels, 1)}
    annotations: list[dict[str, Any]] = []
    for image, picture in enumerate(labels.pictures, 1):
        for box in picture.boxes:
            x1, y1, x2, y2 = box.corners
            width, height = round(x2 - x1, 2), round(y2 - y1, 2)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": numbers[box.label],
                    "bbox": [x1, y1, width, height],
                    "area": round(width * height, 4),
                    "iscrowd": int(box.ignored),
                }
            )
    content = {
        "images": [
            {"id": number, "file_name": each.file, "width": each.width, "height": each.height}
            for number, each in enumerate(labels.pictures, 1)
        ],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        "annotations": annotations,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _box(row: Mapping[str, Any], name: str, picture: Picture, where: str) -> Labelled:
    values = row.get("bbox")
    if not isinstance(values, list) or len(values) != 4 or not all(isinstance(v, int | float) for v in values):
        msg = f"{where}: bbox is {values!r}; [x, y, width, height] in pixels is expected"
        raise LabelError(msg)
    x, y, width, height = (float(value) for value in values)
    if row.get("iscrowd", 0) not in {0, 1}:
        msg = f"{where}: iscrowd is {row['iscrowd']!r}; 0 or 1 is expected"
        raise LabelError(msg)
    corners = corners_in((x, y, x + width, y + height), picture.width, picture.height, where)
    return Labelled(corners, name, bool(row.get("iscrowd", 0)))


def _rows(content: Mapping[str, Any], key: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """The objects of a list, each with what to call it in messages."""
    rows = content.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        msg = f"{path}: {key} must be a list of objects"
        raise LabelError(msg)
    return [(f"{path}, {key}[{place}]", row) for place, row in enumerate(rows)]


def _get(row: Mapping[str, Any], key: str, kind: type[Any], where: str) -> Any:
    value = row.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        msg = f"{where}: {key} is {value!r}, not {'a whole number' if kind is int else 'text'}"
        raise LabelError(msg)
    return value


def _all_different(by_id: Mapping[int, Any], rows: Sequence[tuple[str, Any]], where: str) -> None:
    if len(by_id) < len(rows):
        msg = f"{where} has an id twice"
        raise LabelError(msg)

"""Reading the image sets that models are trained on: a folder each, described by its `items.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ITEMS_FILE: Final = "items.jsonl"


class ItemsError(ValueError):
    """A set is missing or one of its rows cannot be read."""


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A thing in an image: x_min, y_min, x_max, y_max in pixels of the stored file."""

    corners: tuple[float, float, float, float]
    label: str
    product: bool
    """Whether a product scanner would look at it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a set and what its source says of it; None where the source does not tell."""

    dataset: str
    path: Path
    role: str
    """photo (a user's), merchant (a shop's), render (RGBA, transparent outside the object) or background."""
    split: str
    product_id: str | None
    """Same value: same sellable article, colour included."""
    style_id: str | None
    """Same value: same style in any colour."""
    category: str | None
    label: str | None
    title: str | None
    price: float | None
    currency: str | None
    boxes: tuple[LabelledBox, ...] | None
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What else the source tells (brand, colour, view, ...), by name."""


def load_items(data: Path, datasets: Iterable[str]) -> tuple[Item, ...]:
    """All rows of the named sets under `data`, in the order of the files.

    Raises ItemsError naming the file and line that cannot be read.
    """
    return tuple(item for dataset in datasets for item in _rows(data / dataset))


def _rows(folder: Path) -> Iterator[Item]:
    path = folder / ITEMS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        msg = f"no image set in {folder}: {error.strerror}"
        raise ItemsError(msg) from error
    for number, line in enumerate(lines, 1):
        try:
            yield _item(folder, json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{path}, line {number}: {error!r}"
            raise ItemsError(msg) from error


def _item(folder: Path, row: dict[str, Any]) -> Item:
    return Item(
        dataset=folder.name,
        path=folder / row["image"],
        role=row["role"],
        split=row["split"],
        product_id=row["product_id"],
        style_id=row["style_id"],
        category=row["category"],
        label=row["label"],
        title=row["title"],
        price=row["price"],
        currency=row["currency"],
        boxes=_boxes(row),
        attributes=row.get("attributes") or {},
    )


def _boxes(row: dict[str, Any]) -> tuple[LabelledBox, ...] | None:
    if row["boxes"] is None:
        return None
    products = row.get("product") or [True] * len(row["boxes"])
    return tuple(
        LabelledBox((float(x1), float(y1), float(x2), float(y2)), label, product)
        for (x1, y1, x2, y2, label), product in zip(row["boxes"], products, strict=True)
    )

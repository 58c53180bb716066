"""Feeds of our own columns in JSON lines: read product by product, and written with what was made of their pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from offline.jobs.job import JobInputError
from offline.pictures.sources import Row
from shiwu.wire.ids import image_id

ROWS: Final = pa.schema(
    [
        ("product_id", pa.string()),
        ("category", pa.string()),
        ("images", pa.list_(pa.string())),
        ("line", pa.string()),
    ]
)
"""A row of the feed: its line as it stands there, and what of it is needed here. A line that is no row has no product;
the import tells what is wrong with it."""


def rows_by_product(feed: Path, size: int) -> Iterator[pa.Table]:
    """The feed's rows as `ROWS`, all of a product in one part, about `size` pictures in each. Raises JobInputError."""
    products: dict[str, list[dict[str, Any]]] = {}
    try:
        with feed.open(encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    row = _row(line)
                    products.setdefault(row["product_id"], []).append(row)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{feed} cannot be read: {error}; expected a feed in JSON lines"
        raise JobInputError(msg) from error
    if not products:
        msg = f"{feed} is empty; expected a feed in JSON lines, with product_id, title, category and images"
        raise JobInputError(msg)
    part: list[dict[str, Any]] = []
    pictures = 0
    for product in sorted(products):
        part += products[product]
        pictures += max(1, sum(len(row["images"]) for row in products[product]))
        if pictures >= size:
            yield pa.Table.from_pylist(part, ROWS)
            part, pictures = [], 0
    if part:
        yield pa.Table.from_pylist(part, ROWS)


def _row(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError:
        values = None
    if not isinstance(values, dict):
        return {"product_id": "", "category": "", "images": [], "line": line.strip()}
    images = values.get("images", values.get("image", []))
    addresses = images.split("|") if isinstance(images, str) else images if isinstance(images, list) else []
    return {
        "product_id": str(values.get("product_id") or ""),
        "category": str(values.get("category") or ""),
        "images": [address.strip() for address in addresses if isinstance(address, str) and address.strip()],
        "line": line.strip(),
    }


def pictures_of(rows: pa.Table, folder: Path) -> list[Row]:
    """Each picture of each product once, under the id that the catalogue gives it. folder: of the feed."""
    found: dict[str, Row] = {}
    for row in rows.to_pylist():
        for address in row["images"] if row["product_id"] else ():
            uri = address if "://" in address else str((folder / address).resolve())
            key = image_id(row["product_id"], address)
            found.setdefault(key, Row(key, uri, row["product_id"], row["category"]))
    return list(found.values())


def prepared_line(
    row: Mapping[str, Any], category: str, left_out: Collection[str], vectors: Mapping[str, Mapping[str, Any]]
) -> str:
    """The row's line with its category, without the pictures of the ids `left_out`, and with the others' vectors.

    vectors: rows of `offline.pictures.vectors.VECTORS` by image id. A picture that has none is left to the import.
    """
    if not row["product_id"]:
        return str(row["line"])
    ids = {address: image_id(row["product_id"], address) for address in row["images"]}
    kept = [address for address in row["images"] if ids[address] not in left_out]
    prepared = [_prepared(vectors.get(ids[address])) for address in kept]
    own = {"category": category, "images": kept, "prepared": prepared}
    values = json.loads(row["line"])
    values.pop("image", None)
    return json.dumps({**values, **own}, ensure_ascii=False, sort_keys=True)


def _prepared(vector: Mapping[str, Any] | None) -> str:
    """An entry of the column `prepared`, as services/catalog/prepared.py describes it."""
    if vector is None or vector["problem"]:
        return "-"
    features, data = (base64.b64encode(vector[name]).decode() for name in ("local_features", "vector"))
    return f"{vector['sha256']} {vector['width']}x{vector['height']} features:{features} {vector['model']} {data}"

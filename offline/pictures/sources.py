"""Which pictures a job is about: folders, archives, lists in JSON lines or Parquet, addresses.

A list has rows of `uri` and, as far as known, `image_id` (else the uri), `product_id`, `category` and `date`
(ISO 8601). A uri is a path relative to the list, a file in an archive (`shop.zip!/a/b.jpg`), or an http(s) address.
Of folders and archives every picture is taken; its product is the folder that it lies in, so that a folder for each
product is all that is needed. A text file with an address in each line is a list, too.
"""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from offline.jobs.job import JobInputError

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"})
SCHEMA: Final = pa.schema([(name, pa.string()) for name in ("image_id", "uri", "product_id", "category", "date")])
PARTITION: Final = 1000
TARS: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
INSIDE: Final = "!/"
"""Between an archive's path and a file's name in it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A picture of a list. Unknown: empty."""

    image_id: str
    uri: str
    """A path, a file in an archive, or an address; paths are absolute."""
    product_id: str = ""
    category: str = ""
    date: str = ""


def partitions(source: Path, size: int = PARTITION) -> Iterator[pa.Table]:
    """The pictures of a source in its order, `size` at a time, by `SCHEMA`.

    Raises JobInputError if the source cannot be read, holds no picture, or has an id twice.
    """
    found = _distinct(_rows(source), source)
    if not (part := list(islice(found, size))):
        msg = f"{source} holds no pictures; expected files ending in {', '.join(sorted(SUFFIXES))}, or rows with a uri"
        raise JobInputError(msg)
    while part:
        yield table(part)
        part = list(islice(found, size))


def by_product(source: Path, size: int = PARTITION) -> Iterator[pa.Table]:
    """The pictures of a source, product by product; a partition ends where a product does, after at least `size`.

    Pictures without a product come last. All rows are in memory, some hundred bytes each. Raises JobInputError.
    """
    everything = pa.concat_tables(list(partitions(source, size)))
    nameless = pa.array([product == "" for product in everything["product_id"].to_pylist()])
    everything = everything.append_column("nameless", nameless)
    keys = [("nameless", "ascending"), ("product_id", "ascending"), ("image_id", "ascending")]
    everything = everything.sort_by(keys).drop_columns("nameless")
    products = everything["product_id"].to_pylist()
    first = 0
    for end in range(1, len(products) + 1):
        whole = end == len(products) or products[end] != products[end - 1]
        if whole and (end - first >= size or end == len(products)):
            yield everything.slice(first, end - first)
            first = end


def table(rows: Iterable[Row]) -> pa.Table:
    """Rows as a table."""
    return pa.Table.from_pylist([{name: getattr(row, name) for name in SCHEMA.names} for row in rows], SCHEMA)


def rows(part: pa.Table) -> list[Row]:
    """A table's rows."""
    return [Row(**{name: row[name] for name in SCHEMA.names}) for row in part.to_pylist()]


def _distinct(found: Iterable[Row], source: Path) -> Iterator[Row]:
    seen: set[str] = set()
    for row in found:
        if row.image_id in seen:
            msg = f"{source}: image_id {row.image_id!r} occurs twice; expected each once"
            raise JobInputError(msg)
        seen.add(row.image_id)
        yield row


def _rows(source: Path) -> Iterator[Row]:
    if not source.exists():
        msg = f"{source} does not exist; expected a folder, an archive, or a list (.jsonl, .parquet, .txt)"
        raise JobInputError(msg)
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file())
        return _files([str(path.relative_to(source)) for path in files], lambda name: str((source / name).resolve()))
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {".jsonl": _jsonl, ".parquet": _parquet, ".txt": _addresses}
    if reader := readers.get(source.suffix.lower()):
        return reader(source)
    if is_archive(source):
        return _files(_members(source), lambda name: f"{source.resolve()}{INSIDE}{name}")
    msg = f"{source} is no folder, archive or list; expected .zip, .tar, .tar.gz, .jsonl, .parquet or .txt"
    raise JobInputError(msg)


def _files(names: Iterable[str], uri: Callable[[str], str]) -> Iterator[Row]:
    for name in names:
        path = PurePosixPath(name)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            yield Row(name, uri(name), "" if str(path.parent) == "." else str(path.parent))


def _jsonl(source: Path) -> Iterator[Row]:
    with source.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except json.JSONDecodeError as error:
                msg = f"{source}, line {number}: is not JSON: {error}"
                raise JobInputError(msg) from error
            yield _row(values, source, f"line {number}")


def _parquet(source: Path) -> Iterator[Row]:
    try:
        file = pq.ParquetFile(source)
    except (pa.ArrowInvalid, OSError) as error:
        msg = f"{source} cannot be read as Parquet: {error}"
        raise JobInputError(msg) from error
    number = 0
    for batch in file.iter_batches(PARTITION):
        for values in batch.to_pylist():
            number += 1
            yield _row(values, source, f"row {number}")


def _addresses(source: Path) -> Iterator[Row]:
    with source.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if address := line.strip():
                yield _row({"uri": address}, source, f"line {number}")


def _row(values: Any, source: Path, place: str) -> Row:
    if not isinstance(values, dict) or not isinstance(values.get("uri"), str) or not values["uri"]:
        msg = f"{source}, {place}: has no uri; expected a path relative to the list, or an http(s) address"
        raise JobInputError(msg)
    uri: str = values["uri"]
    given: dict[str, Any] = {name: values[name] for name in SCHEMA.names if values.get(name) not in (None, "")}
    if wrong := [name for name, value in given.items() if not isinstance(value, str | datetime)]:
        msg = f"{source}, {place}: {wrong[0]} is {given[wrong[0]]!r}; expected text"
        raise JobInputError(msg)
    date = _date(given.pop("date", ""), source, place)
    located = uri if "://" in uri else str((source.parent / uri).resolve())
    return Row(given.get("image_id", uri), located, given.get("product_id", ""), given.get("category", ""), date)


def _date(given: str | datetime, source: Path, place: str) -> str:
    if not given:
        return ""
    try:
        return (given if isinstance(given, datetime) else datetime.fromisoformat(given)).isoformat()
    except ValueError as error:
        msg = f"{source}, {place}: date is {given!r}; expected ISO 8601, like 2026-11-28"
        raise JobInputError(msg) from error


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive that can be read."""
    return path.name.lower().endswith((".zip", *TARS))


def _members(archive: Path) -> list[str]:
    try:
        if archive.suffix.lower() == ".zip":
            with zipfile.ZipFile(archive) as file:
                return sorted(each.filename for each in file.infolist() if not each.is_dir())
        with tarfile.open(archive) as tar:
            return sorted(member.name for member in tar if member.isfile())
    except (zipfile.BadZipFile, tarfile.TarError, OSError) as error:
        msg = f"{archive} cannot be read as an archive: {error}"
        raise JobInputError(msg) from error

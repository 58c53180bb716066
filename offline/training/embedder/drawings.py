"""The same objects drawn in several styles: emoji of different houses, named by code point.

They teach what a snapshot and a shop's picture ask for in another guise: that an object stays itself when everything
about its rendering changes. What a shop would sell is held out, whole, for measuring.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STYLES: Final = {
    "fluent": "@lobehub/fluent-emoji-3d/assets",
    "google": "emoji-datasource-google/img/google/64",
    "twitter": "emoji-datasource-twitter/img/twitter/64",
}
"""Folders of the npm packages, below `node_modules`."""
_TABLE: Final = "emoji-datasource-google/emoji.json"
_HELD_OUT: Final = frozenset({"Objects", "Food & Drink", "Activities", "Travel & Places"})
_MEASURED: Final = frozenset({"Objects", "Food & Drink", "Activities"})
_SUFFIXES: Final = (".webp", ".png")


@dataclass(frozen=True, slots=True)
class Drawing:
    """One object in one style."""

    object: str
    style: str
    path: Path
    held_out: bool
    measured: bool


def drawings(modules: Path) -> Iterator[Drawing]:
    """All objects that at least two of the styles draw; nothing where the packages are not installed under `modules`.

    Variants of a person (skin, hair, direction) are left out: what tells them apart is not what a product differs in.
    """
    if not (modules / _TABLE).is_file():
        return
    table = json.loads((modules / _TABLE).read_text(encoding="utf-8"))
    drawn: dict[str, dict[str, Path]] = {
        style: {path.stem.lower(): path for path in sorted((modules / folder).iterdir()) if path.suffix in _SUFFIXES}
        for style, folder in STYLES.items()
        if (modules / folder).is_dir()
    }
    for entry in table:
        names = [str(name).lower() for name in (entry["unified"], entry.get("non_qualified")) if name]
        found = {style: paths[name] for style, paths in drawn.items() for name in names[::-1] if name in paths}
        if len(found) < 2:
            continue
        group = str(entry["category"])
        for style, path in found.items():
            yield Drawing(names[0], style, path, group in _HELD_OUT, group in _MEASURED)

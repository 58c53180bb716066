"""What cleaning jobs leave for people: a page in Markdown, and sheets of pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from offline.pictures.files import PictureFiles, UnreadableError
from shiwu.wire.fetching import FetchSettings

_TILE: Final = 144
_CAPTION: Final = 34
_ACROSS: Final = 8
_ROWS: Final = 12
_INK, _PAPER, _MISSING = "#111827", "#ffffff", "#e5e7eb"
_PROBLEMS: Final = 50
"""That a page lists."""

Tile = tuple[str, str, str]
"""A picture's uri, its caption, and the colour of its frame."""


def duplicates_report(
    dropped: Sequence[Mapping[str, Any]],
    problems: Sequence[Mapping[str, Any]],
    pictures: int,
    radius: int,
    fetch: FetchSettings,
) -> dict[str, bytes]:
    """Files by name. dropped: rows of image_id, uri, kept_id, kept_uri, distance. problems: of image_id, problem."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in dropped:
        groups.setdefault(row["kept_id"], []).append(row)
    # The widest ones are those to look at: equal files need no looking.
    shown = sorted(groups.values(), key=lambda own: (-max(row["distance"] for row in own), own[0]["kept_id"]))[:_ROWS]
    page = [
        "# Duplicates",
        "",
        f"{pictures:,} pictures, {len(problems):,} of them not readable; {len(groups):,} groups within {radius} bits, "
        f"{len(dropped):,} pictures to drop. Kept is the one with most pixels, then the newest, then the first by id.",
        *_problem_lines(problems),
    ]
    files = {"duplicates.md": _text(page)}
    if shown:
        rows = [[(own[0]["kept_uri"], "kept", "#16a34a"), *(_tile(row) for row in own)] for own in shown]
        files["duplicates.jpg"] = sheet(rows, fetch)
    return files


def _tile(row: Mapping[str, Any]) -> Tile:
    return row["uri"], f"{row['distance']} bits", "#dc2626"


def noise_report(
    verdicts: Sequence[Mapping[str, Any]], problems: Sequence[Mapping[str, Any]], fetch: FetchSettings
) -> dict[str, bytes]:
    """Files by name. verdicts: rows of image_id, uri, product_id, verdict, distance; problems: of image_id, problem."""
    products: dict[str, list[Mapping[str, Any]]] = {}
    for row in verdicts:
        products.setdefault(row["product_id"], []).append(row)
    counts = {name: sum(row["verdict"] == name for row in verdicts) for name in _COLOURS}
    noisy = [own for own in products.values() if any(row["verdict"] == "noise" for row in own)]
    noisy.sort(key=lambda own: (-sum(row["verdict"] == "noise" for row in own), own[0]["product_id"]))
    page = [
        "# Noise",
        "",
        f"{len(verdicts):,} pictures of {len(products):,} products, {len(problems):,} more not readable: "
        + ", ".join(f"{count:,} {name}" for name, count in counts.items())
        + f". {len(noisy):,} products have noise.",
        *_problem_lines(problems),
    ]
    files = {"noise.md": _text(page)}
    if noisy:
        files["noise.jpg"] = sheet(
            [[_judged(row) for row in sorted(own, key=_as_shown)] for own in noisy[:_ROWS]], fetch
        )
    return files


def merge_report(
    groups: Sequence[Mapping[str, Any]], uris: Mapping[str, Sequence[str]], fetch: FetchSettings
) -> dict[str, bytes]:
    """Files by name. groups: rows of product_ids, score, steps. uris: of some pictures of each product."""
    ordered = sorted(groups, key=lambda group: (-group["score"], group["product_ids"]))
    page = [
        "# Styles",
        "",
        f"{len(groups):,} groups of {sum(len(group['product_ids']) for group in groups):,} of {len(uris):,} products.",
        "",
        *(f"- {', '.join(group['product_ids'])}: {'; '.join(group['steps'])}" for group in ordered[:_PROBLEMS]),
    ]
    files = {"styles.md": _text(page)}
    rows = [
        [(uri, product, colour) for product, colour in zip(group["product_ids"], cycle(_FRAMES), strict=False)
         for uri in uris.get(product, ())]
        for group in ordered[:_ROWS]
    ]  # fmt: skip
    if any(rows):
        files["styles.jpg"] = sheet([row for row in rows if row], fetch)
    return files


_FRAMES: Final = ("#16a34a", "#2563eb", "#ca8a04", "#dc2626")
_COLOURS: Final = {
    "kept": "#16a34a",
    "other look": "#2563eb",
    "won back": "#ca8a04",
    "noise": "#dc2626",
    "unjudged": "#6b7280",
}


def _as_shown(row: Mapping[str, Any]) -> tuple[int, float, str]:
    return -list(_COLOURS).index(row["verdict"]), -row["distance"], row["image_id"]


def _judged(row: Mapping[str, Any]) -> Tile:
    return row["uri"], f"{row['verdict']} {row['distance']:.2f}", _COLOURS[row["verdict"]]


def _problem_lines(problems: Sequence[Mapping[str, Any]]) -> list[str]:
    if not problems:
        return []
    more = f"- and {len(problems) - _PROBLEMS:,} more" if len(problems) > _PROBLEMS else ""
    listed = [f"- `{row['image_id']}`: {row['problem']}" for row in problems[:_PROBLEMS]]
    return ["", "## Not readable", "", *listed, *([more] if more else [])]


def _text(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def sheet(rows: Sequence[Sequence[Tile]], fetch: FetchSettings) -> bytes:
    """Rows of pictures with captions, as a JPEG; of a longer row the first eight."""
    across = min(_ACROSS, max(map(len, rows)))
    canvas = Image.new("RGB", (across * _TILE, len(rows) * (_TILE + _CAPTION)), _PAPER)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    with PictureFiles(fetch) as files:
        for y, row in enumerate(rows):
            for x, (uri, caption, colour) in enumerate(row[:_ACROSS]):
                left, top = x * _TILE, y * (_TILE + _CAPTION)
                canvas.paste(_thumbnail(uri, files), (left + 4, top + 4))
                draw.rectangle((left + 2, top + 2, left + _TILE - 3, top + _TILE - 3), outline=colour, width=3)
                draw.text((left + 6, top + _TILE), caption[:20], fill=_INK, font=font)
    out = io.BytesIO()
    canvas.save(out, "JPEG", quality=85)
    return out.getvalue()


def _thumbnail(uri: str, files: PictureFiles) -> Image.Image:
    side = (_TILE - 8, _TILE - 8)
    try:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(files.read(uri))))
        return ImageOps.pad(picture.convert("RGB"), side, color=_PAPER)
    except (UnreadableError, UnidentifiedImageError, OSError):
        return Image.new("RGB", side, _MISSING)

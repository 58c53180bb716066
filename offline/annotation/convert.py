"""From one format of boxes to another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from offline.annotation import coco, voc, yolo
from offline.annotation.labels import LabelError, LabelSet

Format = Literal["voc", "coco", "yolo"]

FORMATS: Final[tuple[Format, ...]] = ("voc", "coco", "yolo")


def convert(
    source: Path,
    source_format: Format,
    target: Path,
    target_format: Format,
    *,
    pictures: Path | None = None,
    drop_ignored: bool = False,
) -> LabelSet:
    """Boxes of pictures from one format to another; what was written.

    pictures: folder of the pictures, whose sizes yolo does not tell. drop_ignored: leave out boxes that are to be
    ignored. Raises LabelError for a target that is already there, and for what cannot be read or written.
    """
    if target.exists():
        msg = f"{target} is already there; name one that is not"
        raise LabelError(msg)
    labels = read(source, source_format, pictures)
    if drop_ignored:
        kept = [replace(each, boxes=tuple(box for box in each.boxes if not box.ignored)) for each in labels.pictures]
        labels = replace(labels, pictures=tuple(kept))
    write(labels, target, target_format)
    return labels


def read(source: Path, how: Format, pictures: Path | None = None) -> LabelSet:
    """Raises LabelError."""
    if how == "coco":
        return coco.read(source)
    if not source.is_dir():
        msg = f"{source} is not a folder, as {how} needs it"
        raise LabelError(msg)
    return voc.read(source) if how == "voc" else yolo.read(source, pictures)


def write(labels: LabelSet, target: Path, how: Format) -> None:
    """Raises LabelError."""
    {"coco": coco.write, "voc": voc.write, "yolo": yolo.write}[how](labels, target)

"""YOLO: a text file for each picture with lines "category x_middle y_middle width height", shares of the picture.

The names are in classes.txt, as labelImg has it, or in data.yaml, as Ultralytics does. The format holds neither sizes
nor files of pictures: they are read from the pictures. Labels lie in the folder `labels` if there is one, pictures in
`images`; else both beside the names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import yaml
from PIL import Image as Pillow

from offline.annotation.labels import (
    LabelError,
    Labelled,
    LabelSet,
    Picture,
    corners_in,
    label_set,
    read_text,
)
from offline.annotation.voc import CLASSES, read_classes, write_classes

_DATA: Final = "data.yaml"
SUFFIXES: Final = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_DIGITS: Final = 12
"""With so many a hundredth of a pixel comes back from a picture of any size."""


def read(folder: Path, pictures: Path | None = None) -> LabelSet:
    """Every picture, those without boxes too. Raises LabelError for labels without a picture, among others."""
    names = _names(folder)
    labels = folder / "labels" if (folder / "labels").is_dir() else folder
    images = pictures or (folder / "images" if (folder / "images").is_dir() else folder)
    left = {path.relative_to(labels) for path in labels.rglob("*.txt")} - {Path(CLASSES)}
    found: list[Picture] = []
    for path in sorted(path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES):
        file = path.relative_to(images)
        width, height = size_of(path)
        text = file.with_suffix(".txt")
        boxes = _boxes(labels / text, names, width, height) if (labels / text).exists() else ()
        left.discard(text)
        found.append(Picture(file.as_posix(), width, height, tuple(boxes)))
    if left:
        msg = f"{labels / min(left)} has no picture in {images}; {len(left)} such in all"
        raise LabelError(msg)
    return label_set(names, found, folder)


def write(labels: LabelSet, folder: Path) -> None:
    """Names, and labels in the folder `labels`; the pictures belong into `images` beside it.

    Raises LabelError for ignored boxes, which the format cannot hold, and if two pictures differ in their suffix only.
    """
    numbers = {name: number for number, name in enumerate(labels.labels)}
    texts: dict[Path, str] = {}
    for picture in labels.pictures:
        path = Path(PurePosixPath(picture.file).with_suffix(".txt"))
        if path in texts:
            msg = f"{picture.file} and another picture would both be labelled by {path}"
            raise LabelError(msg)
        if any(box.ignored for box in picture.boxes):
            msg = f"{picture.file} has boxes to be ignored, which YOLO cannot hold; leave them out first"
            raise LabelError(msg)
        texts[path] = "".join(
            f"{numbers[box.label]} {' '.join(_shares(box, picture.width, picture.height))}\n" for box in picture.boxes
        )
    write_classes(labels.labels, folder / CLASSES)
    for path, text in texts.items():
        (folder / "labels" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "labels" / path).write_text(text, encoding="utf-8")


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture held upright. Raises LabelError if it is none."""
    try:
        with Pillow.open(path) as picture:
            turned = picture.getexif().get(0x0112, 1) in {5, 6, 7, 8}  # the tag of its orientation
            width, height = picture.size
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        msg = f"{path} is not a picture: {error}"
        raise LabelError(msg) from error
    return (height, width) if turned else (width, height)


def _names(folder: Path) -> tuple[str, ...]:
    if (folder / CLASSES).exists():
        return read_classes(folder / CLASSES)
    path = folder / _DATA
    if not path.exists():
        msg = f"neither {CLASSES} nor {_DATA} with the names of the categories in {folder}"
        raise LabelError(msg)
    try:
        names = yaml.safe_load(read_text(path))["names"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        msg = f"{path}: a key `names` is expected: {error}"
        raise LabelError(msg) from error
    if isinstance(names, Mapping) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        msg = f"{path}: `names` must be a list of names, or a name for each number from 0 on"
        raise LabelError(msg)
    return tuple(names)


def _boxes(path: Path, names: tuple[str, ...], width: int, height: int) -> Iterator[Labelled]:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where, fields = f"{path}, line {number}", line.split()
        try:
            category = int(fields[0])
            x, y, w, h = (float(field) for field in fields[1:])
        except ValueError as error:
            msg = f"{where}: {line!r}; a category's number and four shares of the picture are expected"
            raise LabelError(msg) from error
        if not 0 <= category < len(names):
            msg = f"{where}: category {category}, but there are {len(names)}, counted from 0"
            raise LabelError(msg)
        corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        yield Labelled(corners_in(corners, width, height, where), names[category])


def _shares(box: Labelled, width: int, height: int) -> list[str]:
    x1, y1, x2, y2 = box.corners
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return [f"{value:.{_DIGITS}f}" for value in values]

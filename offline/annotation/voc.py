"""Pascal VOC: an XML file for each picture, as labelImg writes and reads them.

Coordinates are taken as labelImg means them, pixels from 0 with x_max beyond the last column; the files of the VOC
challenge itself count from 1. Pose, truncated, depth and the path on the annotator's machine are not carried over.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from offline.annotation.labels import (
    LabelError,
    Labelled,
    LabelSet,
    Picture,
    corners_in,
    file_in,
    label_set,
    plain,
    size_in,
)

_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
CLASSES: Final = "classes.txt"
"""Names of the categories beside the files, as VOC itself has no place for those without boxes and for their order."""


def read(folder: Path) -> LabelSet:
    """All .xml files below the folder; without a file of classes the categories are those that occur, sorted."""
    paths = sorted(folder.rglob("*.xml"))
    if not paths:
        msg = f"no .xml file below {folder}"
        raise LabelError(msg)
    pictures = [_picture(path, path.parent.relative_to(folder)) for path in paths]
    found = sorted({box.label for picture in pictures for box in picture.boxes})
    listed = folder / CLASSES
    return label_set(read_classes(listed) if listed.exists() else found, pictures, folder)


def write(labels: LabelSet, folder: Path) -> None:
    """A file for each picture, at the picture's path below the folder.

    Raises LabelError if two pictures differ in their suffix only, or for names that XML cannot hold.
    """
    documents: dict[Path, bytes] = {}
    for picture in labels.pictures:
        path = Path(PurePosixPath(picture.file).with_suffix(".xml"))
        if path in documents:
            msg = f"{picture.file} and another picture would both be labelled by {path}"
            raise LabelError(msg)
        documents[path] = _document(picture)
    for path, document in documents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(document)
    write_classes(labels.labels, folder / CLASSES)


def read_classes(path: Path) -> tuple[str, ...]:
    """A name each line; blank lines at the end do not count."""
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip("\r\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise LabelError(msg) from error
    names = tuple(line.rstrip("\r") for line in lines)
    if not all(name.strip() for name in names):
        msg = f"{path}, line {[bool(name.strip()) for name in names].index(False) + 1}: no name of a category"
        raise LabelError(msg)
    return names


def write_classes(names: Sequence[str], path: Path) -> None:
    """Raises LabelError for a name that is no line of text."""
    for name in names:
        if not name.strip() or "\n" in name or "\r" in name:
            msg = f"category {name!r} cannot be written: a name is one line that is not blank"
            raise LabelError(msg)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")


def _picture(path: Path, folder: Path) -> Picture:
    try:
        root = fromstring(path.read_bytes(), forbid_dtd=True)
    except (OSError, ParseError, DefusedXmlException, ValueError) as error:
        msg = f"{path} is not readable XML: {error!r}"
        raise LabelError(msg) from error
    if root.tag != "annotation":
        msg = f"{path}: <annotation> is expected, not <{root.tag}>"
        raise LabelError(msg)
    name = PurePosixPath(_text(root, "filename", str(path)).replace("\\", "/")).name
    width, height = (int(_number(root, f"size/{side}", str(path))) for side in ("width", "height"))
    size_in(width, height, str(path))
    boxes = [
        _box(each, width, height, f"{path}, object {number}") for number, each in enumerate(root.findall("object"), 1)
    ]
    return Picture(file_in(str(PurePosixPath(folder.as_posix()) / name), str(path)), width, height, tuple(boxes))


def _box(each: Element, width: int, height: int, where: str) -> Labelled:
    corners = [_number(each, f"bndbox/{corner}", where) for corner in _CORNERS]
    difficult = each.findtext("difficult", "0").strip()
    if difficult not in {"0", "1"}:
        msg = f"{where}: <difficult> is {difficult!r}; 0 or 1 is expected"
        raise LabelError(msg)
    return Labelled(corners_in(corners, width, height, where), _text(each, "name", where), difficult == "1")


def _text(parent: Element, path: str, where: str) -> str:
    text = parent.findtext(path)
    if not text or not text.strip():
        msg = f"{where}: no <{path}>"
        raise LabelError(msg)
    return text


def _number(parent: Element, path: str, where: str) -> float:
    text = _text(parent, path, where)
    try:
        return float(text)
    except ValueError as error:
        msg = f"{where}: <{path}> is {text!r}, not a number"
        raise LabelError(msg) from error


def _document(picture: Picture) -> bytes:
    root = Element("annotation")
    place = PurePosixPath(picture.file)
    _add(root, "folder", place.parent.name)
    _add(root, "filename", place.name)
    size = SubElement(root, "size")
    for side, value in (("width", picture.width), ("height", picture.height), ("depth", 3)):
        _add(size, side, str(value))
    for box in picture.boxes:
        each = SubElement(root, "object")
        for name, text in (("name", box.label), ("pose", "Unspecified"), ("truncated", "0")):
            _add(each, name, text)
        _add(each, "difficult", str(int(box.ignored)))
        corners = SubElement(each, "bndbox")
        for corner, at in zip(_CORNERS, box.corners, strict=True):
            _add(corners, corner, plain(at))
    indent(root)
    document = bytes(tostring(root, encoding="utf-8"))
    try:
        back = [each.text for each in fromstring(document).iter("name")] + [fromstring(document).findtext("filename")]
    except ParseError as error:
        msg = f"{picture.file}: a name holds a character that XML cannot hold: {error}"
        raise LabelError(msg) from error
    if back != [*(box.label for box in picture.boxes), place.name]:
        msg = f"{picture.file}: a name holds white space that XML does not keep"
        raise LabelError(msg)
    return document


def _add(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text

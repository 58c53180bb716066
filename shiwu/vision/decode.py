"""Files to upright RGB pixels: JPEG, PNG, WebP and HEIC, within limits that are checked before decoding."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pillow_heif
import simplejpeg
from PIL import ExifTags, ImageFile
from PIL import Image as Pillow
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from shiwu.vision.resize import Image

# A progressive JPEG goes over all its pixels once a scan. Encoders write about ten; a file with thousands is an attack.
_MAX_SCANS = 100
# libjpeg's words for a file that ends too early. It fills what is missing with gray and only warns.
_CUT = "remature end"
_PNG_END = b"IEND\xaeB`\x82"

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_OTHERS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
    b"PK\3\4": "a ZIP archive",
    b"<svg": "an SVG",
    b"<?xml": "an XML file",
    b"<!DOCTYPE": "an HTML page",
    b"<html": "an HTML page",
}


class ImageError(ValueError):
    """A file that cannot be read as a picture, or is beyond the limits; says why and what is expected."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before decoding. Sizes are of the file as stored, not of what is decoded from it."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 40_000_000
    min_side: int = 16
    """Pixels; a picture with a shorter side shows nothing."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded picture."""

    pixels: Image
    """Upright RGB; smaller than the original if less was enough."""
    width: int
    """Of the upright original, pixels."""
    height: int
    """Of the upright original, pixels."""


def decode(data: bytes, limits: Limits, min_side: int | None = None) -> Photo:
    """The picture in a JPEG, PNG, WebP or HEIC file, upright; of an animation the first frame.

    min_side: so many pixels on the longer side are enough. The picture is then shrunk by a whole factor as long as
    it keeps them (JPEG: by 2, 4 or 8 while decoding, which saves most of the time).
    Transparent parts become white, 16-bit samples 8-bit; colour profiles are ignored.
    Raises ImageError: empty, too large, not such a file, truncated or damaged.
    """
    if not data:
        msg = "the file is empty; expected a JPEG, PNG, WebP or HEIC picture"
        raise ImageError(msg)
    if len(data) > limits.max_bytes:
        msg = f"the file has {len(data):,} bytes; at most {limits.max_bytes:,} are read"
        raise ImageError(msg)
    kind, opener = _format(data)
    try:
        file = opener(io.BytesIO(data))
        width, height = file.size
        _check_size(width, height, limits)
        orientation = _orientation(file)
        factor = 1 if min_side is None else max(1, max(width, height) // max(1, min_side))
        pixels = _pixels(data, file, factor)
    except ImageError:
        raise
    except Exception as error:  # decoders of damaged files raise about everything: OSError, SyntaxError, struct.error..
        msg = f"the {kind} file is truncated or damaged: {str(error).strip()}"
        raise ImageError(msg) from error
    if orientation >= 5:  # these four swap the axes
        width, height = height, width
    return Photo(_upright(pixels, orientation), width, height)


def _format(data: bytes) -> tuple[str, Callable[[io.BytesIO], ImageFile.ImageFile]]:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG", JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", PngImageFile
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", WebPImageFile
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "HEIC", pillow_heif.HeifImageFile
    known = next((name for magic, name in _OTHERS.items() if data.lstrip().startswith(magic)), None)
    found = known or f"of no known type (it starts with {data[:12]!r})"
    msg = f"the file is {found}; expected a JPEG, PNG, WebP or HEIC picture"
    raise ImageError(msg)


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        msg = f"the picture has {width} x {height} pixels; at most {limits.max_pixels:,} are decoded"
        raise ImageError(msg)
    if min(width, height) < limits.min_side:
        msg = f"the picture has {width} x {height} pixels; each side needs at least {limits.min_side}"
        raise ImageError(msg)


def _orientation(file: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1 (upright) to 8. HEIC files are turned by their decoder, which then reports 1."""
    try:
        value = file.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a picture with broken EXIF is still a picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _pixels(data: bytes, file: ImageFile.ImageFile, factor: int) -> Image:
    match file:
        case JpegImageFile():
            return _jpeg(data, file, factor)
        case PngImageFile():
            return _png(data, file, factor)
        case _:
            return _by_pillow(file, factor)


def _jpeg(data: bytes, file: JpegImageFile, factor: int) -> Image:
    scans = data.count(b"\xff\xda")
    if scans > _MAX_SCANS:
        msg = f"the JPEG file has {scans} scans; at most {_MAX_SCANS} are decoded"
        raise ImageError(msg)
    # Only these have fast inverse transforms; 3/8 costs more than 1/2 and has fewer pixels.
    factor = max(f for f in (1, 2, 4, 8) if f <= factor)
    width, height = file.size
    if file.mode == "CMYK":  # libjpeg does not know CMYK to RGB
        file.draft(None, (width // factor, height // factor))
        return _by_pillow(file, 1)
    size = {"min_width": -(-width // factor), "min_height": -(-height // factor)} if factor > 1 else {}
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, **size), np.uint8)
    except ValueError as error:
        # Other warnings, of stray bytes between markers for example, are common in cameras' files and harmless.
        ends = data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) >= 0
        if _CUT in str(error) or not ends:
            msg = "the JPEG file is truncated"
            raise ImageError(msg) from error
    return np.asarray(simplejpeg.decode_jpeg(data, strict=False, **size), np.uint8)


def _png(data: bytes, file: PngImageFile, factor: int) -> Image:
    if _PNG_END not in data:  # Pillow does not miss it
        msg = "the PNG file is truncated"
        raise ImageError(msg)
    return _by_pillow(file, factor)


def _by_pillow(file: ImageFile.ImageFile, factor: int) -> Image:
    picture: Pillow.Image = file
    picture.load()
    if picture.mode.startswith("I"):  # 16 bits; convert() would clip instead of scale
        picture = Pillow.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Pillow.alpha_composite(Pillow.new("RGBA", layer.size, "white"), layer)
    picture = picture.convert("RGB")
    if factor > 1:
        picture = picture.reduce(factor)
    return np.asarray(picture, np.uint8)


def _upright(pixels: Image, orientation: int) -> Image:
    """Undoes an EXIF orientation (Exif 2.32, tag 0x0112): first the mirror, then the turn."""
    flip = {2: 1, 4: 0, 5: 1, 7: 1}.get(orientation)
    turn = {
        3: cv2.ROTATE_180,
        5: cv2.ROTATE_90_COUNTERCLOCKWISE,
        6: cv2.ROTATE_90_CLOCKWISE,
        7: cv2.ROTATE_90_CLOCKWISE,
        8: cv2.ROTATE_90_COUNTERCLOCKWISE,
    }.get(orientation)
    if flip is not None:
        pixels = np.asarray(cv2.flip(pixels, flip), np.uint8)
    if turn is not None:
        pixels = np.asarray(cv2.rotate(pixels, turn), np.uint8)
    return pixels

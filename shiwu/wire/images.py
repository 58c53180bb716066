"""`Image` messages."""

from __future__ import annotations

import numpy as np

from shiwu.chassis.errors import InvalidInputError
from shiwu.v1 import vision_pb2 as pb
from shiwu.vision.decode import ImageError, Limits, Photo, decode
from shiwu.vision.resize import Image


def to_photo(image: pb.Image, field: str, limits: Limits, min_side: int | None = None) -> Photo:
    """The picture of a message; raw pixels are not copied.

    field: the message's path in the request, for errors. min_side: as of `shiwu.vision.decode.decode`.
    limits: raw pixels obey max_pixels only, since another service has already looked at the file.
    """
    match image.WhichOneof("data"):
        case "encoded":
            try:
                return decode(image.encoded, limits, min_side)
            except ImageError as error:
                raise InvalidInputError(str(error), field=f"{field}.encoded") from error
        case "raw":
            pixels = _pixels(image.raw, f"{field}.raw", limits)
            return Photo(pixels, image.raw.width, image.raw.height)
        case _:
            msg = "no picture; set encoded or raw"
            raise InvalidInputError(msg, field=field)


def raw_image(pixels: Image) -> pb.Image:
    """The message that carries these pixels, RGB, (height, width, 3), as they are."""
    height, width = pixels.shape[:2]
    return pb.Image(raw=pb.RawImage(width=width, height=height, rgb=pixels.tobytes()))


def _pixels(raw: pb.RawImage, field: str, limits: Limits) -> Image:
    for name, side in (("width", raw.width), ("height", raw.height)):
        if side < 1:
            msg = f"is {side}; expected at least 1"
            raise InvalidInputError(msg, field=f"{field}.{name}")
    if raw.width * raw.height > limits.max_pixels:
        msg = f"has {raw.width} x {raw.height} pixels; at most {limits.max_pixels:,} are read"
        raise InvalidInputError(msg, field=field)
    expected = raw.width * raw.height * 3
    if len(raw.rgb) != expected:
        msg = f"has {len(raw.rgb)} bytes; expected {raw.width} x {raw.height} x 3 = {expected}"
        raise InvalidInputError(msg, field=f"{field}.rgb")
    return np.frombuffer(raw.rgb, np.uint8).reshape(raw.height, raw.width, 3)

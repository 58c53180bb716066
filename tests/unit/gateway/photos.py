"""Photos of the little world's products, as pixels and as the gateway is sent them."""

from __future__ import annotations

import io

from PIL import Image as Pillow

from shiwu.v1.vision_pb2 import Image, RawImage
from tests.unit.gateway.world import noisy, photo, tile


def shot(seed, *, left=240, top=160):
    """A phone's view of the product that has tile `seed`."""
    return noisy(photo((tile(seed), left, top)), seed, 4.0)


def jpeg(pixels, **options):
    data = io.BytesIO()
    Pillow.fromarray(pixels).save(data, "JPEG", quality=95, **options)
    return Image(encoded=data.getvalue())


def raw(pixels):
    return Image(raw=RawImage(width=pixels.shape[1], height=pixels.shape[0], rgb=pixels.tobytes()))


ROBOT = jpeg(shot(3))
UNKNOWN = jpeg(shot(99))

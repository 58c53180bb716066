"""Messages to arrays and back; what is wrong is named."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image as Pillow

from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import InvalidInputError
from shiwu.v1 import vision_pb2 as pb
from shiwu.vision.decode import Limits
from shiwu.wire.boxes import from_box, to_box
from shiwu.wire.categories import check_category
from shiwu.wire.ids import check_id
from shiwu.wire.images import raw_image, to_photo
from shiwu.wire.vectors import from_vector, to_vector

LIMITS = Limits()
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def test_raw_pixels_travel_unchanged_and_uncopied() -> None:
    message = raw_image(PIXELS)
    assert (message.raw.width, message.raw.height) == (30, 20)
    photo = to_photo(message, "image", LIMITS)
    assert np.array_equal(photo.pixels, PIXELS)
    assert (photo.width, photo.height) == (30, 20)
    assert photo.pixels.base is not None


def test_a_crop_that_is_a_view_travels_as_its_own_pixels() -> None:
    assert np.array_equal(to_photo(raw_image(PIXELS[2:9, 5:11]), "image", LIMITS).pixels, PIXELS[2:9, 5:11])


def test_encoded_pictures_are_decoded() -> None:
    buffer = io.BytesIO()
    Pillow.fromarray(PIXELS).save(buffer, "PNG")
    photo = to_photo(pb.Image(encoded=buffer.getvalue()), "image", LIMITS)
    assert np.array_equal(photo.pixels, PIXELS)


@pytest.mark.parametrize(
    ("image", "field", "words"),
    [
        (pb.Image(), "images[3]", "no picture; set encoded or raw"),
        (pb.Image(encoded=b""), "images[3].encoded", "empty"),
        (pb.Image(encoded=b"hello, world"), "images[3].encoded", "expected a JPEG, PNG, WebP or HEIC"),
        (pb.Image(raw=pb.RawImage(height=2, rgb=b"123456")), "images[3].raw.width", "is 0; expected at least 1"),
        (pb.Image(raw=pb.RawImage(width=2, height=-1)), "images[3].raw.height", "is -1; expected at least 1"),
        (
            pb.Image(raw=pb.RawImage(width=2, height=2, rgb=bytes(11))),
            "images[3].raw.rgb",
            "has 11 bytes; expected 2 x 2 x 3 = 12",
        ),
        (pb.Image(raw=pb.RawImage(width=10_000, height=10_000)), "images[3].raw", "at most 40,000,000"),
    ],
)
def test_bad_images_are_named(image: pb.Image, field: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        to_photo(image, "images[3]", LIMITS)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert words in str(caught.value)


def unit(seed: int = 0, dimension: int = 8) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_vectors_travel_as_little_endian_float32() -> None:
    assert from_vector(np.array([1, 0], np.float32)) == b"\0\0\x80\x3f\0\0\0\0"
    assert np.allclose(to_vector(from_vector(unit()), 8, "vector"), unit(), atol=1e-7)


def test_almost_unit_vectors_are_corrected() -> None:
    vector = to_vector(from_vector(unit() * np.float32(1.009)), 8, "vector")
    assert abs(np.linalg.norm(vector) - 1) < 1e-6
    assert vector.flags.writeable


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        (unit(dimension=7), "has 28 bytes; expected 8 float32 numbers = 32 bytes"),
        (np.array([], np.float32), "has 0 bytes"),
        (np.array([1, 0, math.nan, 0, 0, 0, 0, 0]), "number 2 is nan; expected finite numbers"),
        (np.array([1, 0, 0, 0, 0, 0, 0, math.inf]), "number 7 is inf"),
        (np.zeros(8), "has length 0; expected 1 within 1%"),
        (unit() * 1.02, "has length 1.02"),
        (np.full(8, 3e38), "has length"),
    ],
)
def test_bad_vectors_are_named(vector: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        to_vector(vector.astype("<f4").tobytes(), 8, "records[5].vector")
    assert caught.value.field == "records[5].vector"
    assert words in str(caught.value)


def test_boxes_there_and_back() -> None:
    box = to_box(from_box((0.1, 0.2, 0.5, 1.0)), "focus")
    assert box.dtype == np.float32
    assert np.allclose(box, (0.1, 0.2, 0.5, 1.0))


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0.5, 0, 0.5, 1), "x_min is 0.5 and x_max is 0.5; expected 0 <= x_min < x_max <= 1"),
        ((0.6, 0, 0.5, 1), "x_min is 0.6"),
        ((0, 0, 1, 1.01), "y_max is 1.01"),
        ((-0.1, 0, 1, 1), "x_min is -0.1"),
        ((0, math.nan, 1, 1), "y_min is nan"),
        ((0, 0, 0, 0), "x_max is 0"),
    ],
)
def test_bad_boxes_are_named(box: tuple[float, ...], words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        to_box(from_box(box), "focus")
    assert caught.value.field == "focus"
    assert words in str(caught.value)


def test_categories() -> None:
    assert [check_category(each, "category") for each in CATEGORIES] == list(CATEGORIES)
    for wrong in ("", "Shoes", "cars"):
        with pytest.raises(InvalidInputError, match=rf"^category: is '{wrong}'; expected one of shoes, bags"):
            check_category(wrong, "category")


@pytest.mark.parametrize("key", ["a", "SKU-1/2#3", "鞋子", "x" * 128])
def test_good_ids(key: str) -> None:
    assert check_id(key, "product_id") == key


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "is empty; expected 1 to 128"),
        ("x" * 129, "has 129 characters; expected at most 128"),
        ("a b", "contains ' '"),
        ("a\n", r"contains '\n'"),
        ("a\u00a0b", "contains"),
        ("a\u200bb", "contains"),
        ("a\0", r"contains '\x00'"),
    ],
)
def test_bad_ids_are_named(key: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_id(key, "product.product_id")
    assert caught.value.field == "product.product_id"
    assert words in str(caught.value)

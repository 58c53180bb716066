"""Files of every kind, whole and broken."""

from __future__ import annotations

import io
import time

import numpy as np
import pillow_heif
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from shiwu.vision.decode import ImageError, Limits, decode

LIMITS = Limits()
# Smooth colours that no two corners share: survives lossy coding, and every turn or mirror shows.
Y, X = np.mgrid[0:96, 0:160]
PICTURE = np.stack([X * 255 // 159, Y * 255 // 95, np.full_like(X, 90)], axis=-1).astype(np.uint8)


def encoded(kind: str, picture: Pillow.Image | None = None, **options) -> bytes:
    picture = picture or Pillow.fromarray(PICTURE)
    buffer = io.BytesIO()
    if kind == "HEIC":
        pillow_heif.from_pillow(picture).save(buffer, quality=90, **options)
    else:
        picture.save(buffer, kind, **options)
    return buffer.getvalue()


def close(pixels: np.ndarray, expected: np.ndarray, tolerance: float = 6.0) -> bool:
    return pixels.shape == expected.shape and np.abs(pixels.astype(int) - expected).mean() < tolerance


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIC"])
def test_reads_every_kind(kind: str) -> None:
    photo = decode(encoded(kind), LIMITS)
    assert (photo.width, photo.height) == (160, 96)
    assert photo.pixels.dtype == np.uint8
    assert close(photo.pixels, PICTURE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_applies_every_exif_orientation(kind: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    data = encoded(kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))).convert("RGB"))
    photo = decode(data, LIMITS)
    assert close(photo.pixels, expected, 2.0)
    assert (photo.height, photo.width) == expected.shape[:2]


def test_a_turned_heic_is_turned_once() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    photo = decode(encoded("HEIC", exif=exif.tobytes()), LIMITS)
    assert (photo.width, photo.height) == (96, 160)
    assert close(photo.pixels, np.rot90(PICTURE, -1))


def test_an_exif_turn_holds_for_the_scaled_picture_too() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    photo = decode(encoded("JPEG", exif=exif), LIMITS, min_side=80)
    assert (photo.width, photo.height) == (96, 160)
    assert close(photo.pixels, np.rot90(PICTURE, -1)[::2, ::2])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_ignored() -> None:
    data = encoded("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 30)
    assert close(decode(data, LIMITS).pixels, PICTURE)


@pytest.mark.parametrize("value", [0, 9, 700])
def test_an_orientation_out_of_range_is_upright(value: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = value
    assert close(decode(encoded("JPEG", exif=exif), LIMITS).pixels, PICTURE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIC"])
@pytest.mark.parametrize("min_side", [1, 30, 50, 80, 100, 160, 1000])
def test_shrinks_no_further_than_asked(kind: str, min_side: int) -> None:
    photo = decode(encoded(kind), LIMITS, min_side=min_side)
    height, width = photo.pixels.shape[:2]
    assert (photo.width, photo.height) == (160, 96)
    assert width >= min(min_side, 160)
    assert width < 2 * min_side or width in (160, 20)  # 20: JPEG shrinks by at most 8
    assert abs(width * 96 / 160 - height) < 1
    nearest = np.asarray(Pillow.fromarray(PICTURE).resize((width, height), Pillow.Resampling.BOX))
    assert close(photo.pixels, nearest, 8.0)


def test_grayscale_jpeg() -> None:
    photo = decode(encoded("JPEG", Pillow.fromarray(PICTURE).convert("L")), LIMITS)
    assert photo.pixels.shape == (96, 160, 3)
    assert (photo.pixels[..., 0] == photo.pixels[..., 2]).all()


@pytest.mark.parametrize("min_side", [None, 40])
def test_cmyk_jpeg(min_side: int | None) -> None:
    photo = decode(encoded("JPEG", Pillow.fromarray(PICTURE).convert("CMYK"), quality=95), LIMITS, min_side)
    step = 1 if min_side is None else 4
    assert close(photo.pixels, PICTURE[step // 2 :: step, step // 2 :: step], 8.0)


def test_progressive_jpeg() -> None:
    assert close(decode(encoded("JPEG", progressive=True), LIMITS, 80).pixels, PICTURE[::2, ::2])


def test_a_jpeg_with_a_second_picture_behind_is_the_first() -> None:
    buffer = io.BytesIO()
    first, second = Pillow.fromarray(PICTURE), Pillow.new("RGB", (400, 300))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    assert close(decode(buffer.getvalue(), LIMITS).pixels, PICTURE)


def test_bytes_behind_a_jpeg_do_no_harm() -> None:
    assert close(decode(encoded("JPEG") + b"\0trailer" * 50, LIMITS).pixels, PICTURE)


def test_stray_bytes_within_a_jpeg_do_no_harm() -> None:
    data = encoded("JPEG")
    assert close(decode(data[:-2] + b"\1\2\3" * 9 + data[-2:], LIMITS).pixels, PICTURE)


def test_an_animated_webp_is_its_first_frame() -> None:
    others = [Pillow.new("RGB", (160, 96), colour) for colour in ("black", "white")]
    data = encoded("WEBP", save_all=True, append_images=others, duration=50)
    assert Pillow.open(io.BytesIO(data)).n_frames == 3
    assert close(decode(data, LIMITS).pixels, PICTURE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_parts_become_white(mode: str) -> None:
    picture = Pillow.new(mode.replace("P", "L"), (40, 30), (0, 0, 0, 0)[-len(mode) :])
    picture.paste(Pillow.new(picture.mode, (20, 30), (60, 60, 60, 255)[-len(mode) :]), (0, 0))
    pixels = decode(encoded("PNG", picture), LIMITS).pixels
    assert (pixels[:, :20] == 60).all()
    assert (pixels[:, 20:] == 255).all()


def test_half_transparent_pixels_mix_with_white() -> None:
    pixels = decode(encoded("PNG", Pillow.new("RGBA", (20, 20), (0, 0, 0, 128))), LIMITS).pixels
    assert np.abs(pixels.astype(int) - 127).max() <= 1


def test_palette_png_with_and_without_transparency() -> None:
    picture = Pillow.fromarray(PICTURE).quantize(64)
    assert close(decode(encoded("PNG", picture), LIMITS).pixels, PICTURE, 25.0)
    flat = Pillow.new("P", (20, 20), 3)
    flat.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert (decode(encoded("PNG", flat), LIMITS).pixels == (0, 0, 255)).all()
    assert (decode(encoded("PNG", flat, transparency=3), LIMITS).pixels == 255).all()


def test_black_and_white_png() -> None:
    picture = Pillow.new("1", (20, 20), 1)
    assert (decode(encoded("PNG", picture), LIMITS).pixels == 255).all()


def test_16_bit_gray_png_is_scaled_not_clipped() -> None:
    values = (X * 65535 // 159).astype(np.uint16)
    pixels = decode(encoded("PNG", Pillow.fromarray(values)), LIMITS).pixels
    assert np.abs(pixels[..., 0].astype(int) - values // 257).max() <= 1


def test_16_bit_rgb_png() -> None:
    import cv2

    _, data = cv2.imencode(".png", PICTURE[..., ::-1].astype(np.uint16) * 257)
    assert close(decode(data.tobytes(), LIMITS).pixels, PICTURE, 1.0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIC"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99, 1.0])
def test_truncated_files_are_refused(kind: str, share: float) -> None:
    data = encoded(kind)
    cut = data[: min(int(len(data) * share), len(data) - 2)]
    with pytest.raises(ImageError, match="truncated"):
        decode(cut, LIMITS)


def test_a_truncated_progressive_or_closed_jpeg_is_refused() -> None:
    data = encoded("JPEG", progressive=True)
    noisy = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)
    closed = encoded("JPEG", Pillow.fromarray(noisy))
    for broken in (data[: len(data) // 2], closed[: len(closed) // 2] + b"\xff\xd9"):
        for min_side in (None, 80):
            with pytest.raises(ImageError, match="truncated"):
                decode(broken, LIMITS, min_side)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIC"])
def test_noise_in_a_file_never_gives_anything_but_a_picture_or_an_image_error(kind: str) -> None:
    rng = np.random.default_rng(1)
    data = encoded(kind)
    refused = 0
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(12, len(data), 8):
            broken[place] = rng.integers(256)
        try:
            assert decode(bytes(broken), LIMITS, 40).pixels.ndim == 3
        except ImageError:
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello world, I am a photo", "no known type.*hello world.*expected a JPEG, PNG, WebP or HEIC"),
        (b"\n<!DOCTYPE html><html>", "HTML"),
        (b"\xff\xd8\xff", "JPEG file is truncated"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "no known type"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        decode(data, LIMITS)


@pytest.mark.parametrize(("kind", "name"), [("GIF", "a GIF"), ("BMP", "a BMP"), ("TIFF", "a TIFF")])
def test_other_formats_are_named(kind: str, name: str) -> None:
    with pytest.raises(ImageError, match=f"the file is {name}; expected"):
        decode(encoded(kind), LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_50_mp_are_refused_without_decoding(kind: str) -> None:
    options = {"WEBP": {"method": 0}, "PNG": {"compress_level": 1}}.get(kind, {})
    data = encoded(kind, Pillow.new("RGB", (8200, 6200)), **options)
    begin = time.process_time()
    with pytest.raises(ImageError, match=r"8200 x 6200 pixels; at most 40,000,000"):
        decode(data, LIMITS, 640)
    assert time.process_time() - begin < 0.05  # decoding takes several times as long


def test_too_many_pixels_of_a_heic_are_refused() -> None:
    with pytest.raises(ImageError, match="160 x 96 pixels; at most 15,359 are decoded"):
        decode(encoded("HEIC"), Limits(max_pixels=160 * 96 - 1))
    assert decode(encoded("HEIC"), Limits(max_pixels=160 * 96)).width == 160


def test_a_small_file_that_claims_a_huge_size_is_refused() -> None:
    data = bytearray(encoded("PNG"))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageError, match="60000 x 60000 pixels"):
        decode(bytes(data), LIMITS)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(ImageError, match=r"1,001 bytes; at most 1,000"):
        decode(bytes(1001), Limits(max_bytes=1000))


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_a_side_below_the_least_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=rf"{size[0]} x {size[1]} pixels; each side needs at least 16"):
        decode(encoded("PNG", Pillow.new("RGB", size)), LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_least_side_is_read(kind: str) -> None:
    assert decode(encoded(kind, Pillow.new("RGB", (16, 16))), LIMITS, 8).pixels.shape[:2] in {(8, 8), (16, 16)}


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    data = encoded("JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    attack = data[:last] + data[last:-2] * 200 + data[-2:]
    with pytest.raises(ImageError, match="scans; at most 100"):
        decode(attack, LIMITS)

"""How fast pictures are decoded and hashed: python -m tests.unit.vision.speed [PHOTO].

Prints CPU milliseconds, threads added up, median of 15. Without a photo, one is made: smooth colours and sensor noise.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import simplejpeg
from PIL import Image as Pillow

from shiwu.vision.decode import Limits, decode
from shiwu.vision.hashes import dhash

LIMITS = Limits()
ROUNDS = 15
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def cpu_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times) * 1e3


def made(width: int, height: int) -> Pillow.Image:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 40, width // 40, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return Pillow.fromarray(np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8))


def by_pillow(data: bytes, factor: int) -> np.ndarray:
    picture = Pillow.open(io.BytesIO(data))
    picture.draft("RGB", (picture.width // factor, picture.height // factor))
    return np.asarray(picture)


def by_opencv(data: bytes, factor: int) -> np.ndarray:
    flag = REDUCED.get(factor, cv2.IMREAD_COLOR)
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), flag), cv2.COLOR_BGR2RGB)


def by_simplejpeg(data: bytes, width: int, factor: int) -> np.ndarray:
    return simplejpeg.decode_jpeg(data, min_width=width // factor if factor > 1 else 0)


def saved(picture: Pillow.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "HEIC":
        pillow_heif.from_pillow(picture).save(buffer, quality=70)
    else:
        picture.save(buffer, kind, quality=88)
    return buffer.getvalue()


def report_jpeg(name: str, picture: Pillow.Image) -> None:
    data = saved(picture, "JPEG")
    factor = max(f for f in (1, 2, 4, 8) if f <= max(picture.size) // 640)
    shape = decode(data, LIMITS, 640).pixels.shape
    print(f"{name}: {picture.width} x {picture.height}, {len(data) / 1e6:.2f} MB -> {shape[1]} x {shape[0]}")
    print(f"  decode(min_side=640)   {cpu_ms(lambda: decode(data, LIMITS, 640)):6.1f}")
    print(f"  simplejpeg 1/{factor}         {cpu_ms(lambda: by_simplejpeg(data, picture.width, factor)):6.1f}")
    print(f"  OpenCV 1/{factor}             {cpu_ms(lambda: by_opencv(data, factor)):6.1f}")
    print(f"  Pillow draft 1/{factor}       {cpu_ms(lambda: by_pillow(data, factor)):6.1f}")
    print(f"  decode, full size      {cpu_ms(lambda: decode(data, LIMITS)):6.1f}")


def main() -> None:
    large = Pillow.open(Path(sys.argv[1])).convert("RGB") if len(sys.argv) > 1 else made(4000, 3000)
    report_jpeg("large JPEG", large)
    small = large.resize((1280, 800))
    report_jpeg("1 MP JPEG", small)
    for kind in ("PNG", "WEBP", "HEIC"):
        data = saved(small, kind)
        print(f"1 MP {kind}, {len(data) / 1e6:.2f} MB: {cpu_ms(lambda data=data: decode(data, LIMITS, 640)):.1f}")
    pixels = np.asarray(large.resize((640, 480)))
    print(f"dhash of 640 x 480: {cpu_ms(lambda: dhash(pixels)):.2f}")


if __name__ == "__main__":
    main()

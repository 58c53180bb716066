"""An answer as a picture: the photo with its boxes, beside the catalogue's pictures that match."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import grpc
from PIL import Image, ImageDraw, ImageFont, ImageOps
from pillow_heif import register_heif_opener

from shiwu.cli.connection import connected
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.catalog_pb2 import GetReferenceImageRequest
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.vision_pb2 import Box

_HEIGHT = 720
_MATCHES = 3
_SEARCHED, _OTHER = "#22c55e", "#f59e0b"
_CAPTION = 64
_INK, _PAPER = "#111827", "#ffffff"

register_heif_opener()


def draw_answer(photo: bytes, answer: pb.ScanResponse, catalog: str) -> Image.Image:
    """The photo (`_HEIGHT` pixels high) with boxes, then the best matches' pictures where they can be read."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).convert("RGB")
    picture = picture.resize((max(1, round(picture.width * _HEIGHT / picture.height)), _HEIGHT))
    _draw_boxes(picture, answer)
    tiles = [_tile(match, file) for match, file in _matches(answer, catalog)]
    width = picture.width + (tiles[0].width if tiles else 0)
    canvas = Image.new("RGB", (width, _HEIGHT + _CAPTION), _PAPER)
    canvas.paste(picture, (0, 0))
    for i, tile in enumerate(tiles):
        canvas.paste(tile, (picture.width, i * _HEIGHT // _MATCHES))
    ImageDraw.Draw(canvas).text((12, _HEIGHT + 16), _caption(answer), fill=_INK, font=_font(26))
    return canvas


def _draw_boxes(picture: Image.Image, answer: pb.ScanResponse) -> None:
    draw = ImageDraw.Draw(picture)
    for found in answer.objects[1:]:
        draw.rectangle(_pixels(found.box, picture), outline=_OTHER, width=3)
    draw.rectangle(_pixels(answer.crop, picture), outline=_SEARCHED, width=6)
    for found in answer.objects:
        label = f"{found.categories[0].category} {found.score:.0%}" if found.categories else f"{found.score:.0%}"
        x, y, _, _ = _pixels(found.box, picture)
        draw.text((x + 6, y + 6), label, fill=_PAPER, font=_font(20), stroke_width=3, stroke_fill=_INK)


def _pixels(box: Box, picture: Image.Image) -> tuple[float, float, float, float]:
    w, h = picture.width - 1, picture.height - 1
    return box.x_min * w, box.y_min * h, box.x_max * w, box.y_max * h


def _caption(answer: pb.ScanResponse) -> str:
    if answer.outcome == pb.OUTCOME_MATCHED:
        product = answer.styles[0].products[0].product
        return f"{product.title or product.product_id}  ({answer.confidence:.0%} sure)"
    return "not in the catalogue" if answer.outcome == pb.OUTCOME_NOT_IN_CATALOGUE else "undecided"


def _matches(answer: pb.ScanResponse, catalog: str) -> Iterator[tuple[pb.ProductMatch, Path]]:
    """The best products whose picture is a file of this machine."""
    best = [style.products[0] for style in answer.styles[:_MATCHES]]
    with connected(catalog) as channel:
        stub = CatalogServiceStub(channel)
        for match in best:
            try:
                image = stub.GetReferenceImage(GetReferenceImageRequest(image_id=match.image_id), timeout=2)
            except grpc.RpcError:
                continue  # the catalogue is down or has just dropped it: the drawing goes on without this tile
            file = Path(unquote(urlparse(image.uri).path))
            if image.uri.startswith("file:") and file.is_file():
                yield match, file


def _tile(match: pb.ProductMatch, file: Path) -> Image.Image:
    side = _HEIGHT // _MATCHES
    tile = Image.new("RGB", (side + 120, side), _PAPER)
    picture = ImageOps.contain(Image.open(file).convert("RGB"), (side - 12, side - 12))
    tile.paste(picture, (8, 6))
    ImageDraw.Draw(tile).text((side, 12), f"{match.similarity:.2f}", fill=_INK, font=_font(26))
    return tile


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

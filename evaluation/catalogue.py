"""Filling and thinning the catalogue of a running mesh with a data set's pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.message import Message
from tqdm import tqdm

from offline.training.items import Item
from shiwu.cli.connection import connected
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import Product, ReferenceImage, Style
from shiwu.v1.vision_pb2 import Image

_TIMEOUT = 60.0
_WRITERS = 4


def import_gallery(items: Iterable[Item], target: str) -> None:
    """Adds the items' styles, products and pictures; those that are there already are left as they are."""
    items = list(items)
    products = {item.product_id: _product(item) for item in items}
    styles = {item.style_id: _style(item) for item in items if item.style_id}
    with connected(target) as channel:
        stub = CatalogServiceStub(channel)
        for style in styles.values():
            _once(stub.CreateStyle, pb.CreateStyleRequest(style=style))
        for product in products.values():
            _once(stub.CreateProduct, pb.CreateProductRequest(product=product))
        with ThreadPoolExecutor(_WRITERS) as writers:
            written = writers.map(lambda item: _once(stub.CreateReferenceImage, _picture(item)), items)
            for _ in tqdm(written, "importing", len(items), unit="picture"):
                pass


def delete_products(product_ids: Iterable[str], target: str) -> None:
    """Takes products out of the catalogue."""
    with connected(target) as channel:
        stub = CatalogServiceStub(channel)
        for product_id in sorted(product_ids):
            stub.DeleteProduct(pb.DeleteProductRequest(product_id=product_id), timeout=_TIMEOUT)


def picture_id(item: Item) -> str:
    """The key of an item's picture: its file's place in the data."""
    return f"{item.dataset}/{item.path.parent.name}/{item.path.name}".replace(" ", "_")


def _product(item: Item) -> Product:
    return Product(
        product_id=item.product_id,
        style_id=item.style_id or "",
        title=item.title or item.label or str(item.product_id),
        category=item.category or "other",
    )


def _style(item: Item) -> Style:
    return Style(style_id=item.style_id, title=item.title or str(item.style_id), category=item.category or "other")


def _picture(item: Item) -> pb.CreateReferenceImageRequest:
    facts = ReferenceImage(image_id=picture_id(item), product_id=item.product_id)
    return pb.CreateReferenceImageRequest(reference_image=facts, image=Image(encoded=item.path.read_bytes()))


def _once(create: Callable[..., object], request: Message) -> None:
    try:
        create(request, timeout=_TIMEOUT)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise

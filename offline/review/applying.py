"""What people have accepted, done to the catalogue.

duplicate, noise: the picture is deleted. merge: the products become one style, the one that most of them have already.
Links are written by the links' own command, and boxes concern no catalogue: both are left to whom they belong to.
Each change is made once; a picture or product that is gone by then needs none.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Final

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from offline.review.proposals import Kind
from offline.review.queue import Question, ReviewQueue
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import Product, Style

_TIMEOUT: Final = 20.0
_PAGE: Final = 100
_KINDS: Final[tuple[Kind, ...]] = ("duplicate", "noise", "merge")


def apply_accepted(queue: ReviewQueue, channel: grpc.Channel) -> Counter[str]:
    """Changes the catalogue; returns how many proposals of each kind were applied. Raises grpc.RpcError.

    What was applied before an error stays so, and is not done again.
    """
    catalog, counts = CatalogServiceStub(channel), Counter[str]()
    for kind in _KINDS:
        while questions := queue.to_apply(kind, limit=_PAGE):
            for question in questions:
                _merge(question, catalog) if kind == "merge" else _delete(question, catalog)
                queue.mark_applied([question.proposal.proposal_id])
                counts[kind] += 1
    return counts


def _delete(question: Question, catalog: CatalogServiceStub) -> None:
    request = pb.DeleteReferenceImageRequest(image_id=question.proposal.subject["image_id"])
    try:
        catalog.DeleteReferenceImage(request, timeout=_TIMEOUT)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise


def _merge(question: Question, catalog: CatalogServiceStub) -> None:
    ids = question.proposal.subject["product_ids"]
    products = [product for each in ids if (product := _product(each, catalog)) is not None]
    if len(products) < 2:
        return
    styles = Counter(product.style_id for product in products if product.style_id)
    # Of styles that as many have, the first by name.
    style_id = min(styles, key=lambda style: (-styles[style], style)) if styles else _new_style(products, catalog)
    for product in products:
        if product.style_id != style_id:
            changed = Product(product_id=product.product_id, style_id=style_id)
            mask = FieldMask(paths=["style_id"])
            catalog.UpdateProduct(pb.UpdateProductRequest(product=changed, update_mask=mask), timeout=_TIMEOUT)


def _product(product_id: str, catalog: CatalogServiceStub) -> Product | None:
    try:
        return catalog.GetProduct(pb.GetProductRequest(product_id=product_id), timeout=_TIMEOUT)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return None


def _new_style(products: list[Product], catalog: CatalogServiceStub) -> str:
    """A style that is called like the first of its products; its id is the same whenever it is made for these."""
    first = products[0]
    ids = "\0".join(product.product_id for product in products)
    style_id = "style-" + hashlib.sha256(ids.encode()).hexdigest()[:32]
    style = Style(style_id=style_id, title=first.title, category=first.category)
    try:
        catalog.CreateStyle(pb.CreateStyleRequest(style=style), timeout=_TIMEOUT)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
    return style_id

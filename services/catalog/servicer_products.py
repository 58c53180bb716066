# ruff: noqa: ARG002  (gRPC passes a context)
"""Styles and products."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from services.catalog import messages
from services.catalog.indexing import Indexer
from services.catalog.requests import changes, given, one_page
from services.catalog.resources import Product, Style
from services.catalog.rules import PRODUCT, STYLE, facts, optional
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import UnavailableError
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources_pb
from shiwu.wire.categories import check_category
from shiwu.wire.ids import check_id

Context = grpc.aio.ServicerContext[Any, Any]

_TRIES = 10


class ProductMethods:
    """A part of `CatalogService`."""

    _store: CatalogStore
    _indexer: Indexer

    async def CreateStyle(self, request: pb.CreateStyleRequest, context: Context) -> resources_pb.Style:
        style = Style(**facts(given(request, "style"), "style", STYLE))
        return messages.style(await self._store.create_style(style))

    async def GetStyle(self, request: pb.GetStyleRequest, context: Context) -> resources_pb.Style:
        return messages.style(await self._store.get_style(check_id(request.style_id, "style_id")))

    async def ListStyles(self, request: pb.ListStylesRequest, context: Context) -> pb.ListStylesResponse:
        category = optional(check_category)(request.category, "category")
        page, token = await one_page(
            request,
            lambda after, limit: self._store.list_styles(after=after, limit=limit, category=category),
            attrgetter("style_id"),
        )
        return pb.ListStylesResponse(styles=map(messages.style, page), next_page_token=token)

    async def UpdateStyle(self, request: pb.UpdateStyleRequest, context: Context) -> resources_pb.Style:
        changed = changes(request, "style", STYLE, "style_id")
        return messages.style(await self._store.update_style(request.style.style_id, changed))

    async def DeleteStyle(self, request: pb.DeleteStyleRequest, context: Context) -> Empty:
        await self._store.delete_style(check_id(request.style_id, "style_id"))
        return Empty()

    async def CreateProduct(self, request: pb.CreateProductRequest, context: Context) -> resources_pb.Product:
        product = Product(**facts(given(request, "product"), "product", PRODUCT))
        return messages.product(await self._store.create_product(product))

    async def GetProduct(self, request: pb.GetProductRequest, context: Context) -> resources_pb.Product:
        return messages.product(await self._store.get_product(check_id(request.product_id, "product_id")))

    async def ListProducts(self, request: pb.ListProductsRequest, context: Context) -> pb.ListProductsResponse:
        read = partial(
            self._store.list_products,
            style_id=optional(check_id)(request.style_id, "style_id"),
            category=optional(check_category)(request.category, "category"),
        )
        page, token = await one_page(
            request, lambda after, limit: read(after=after, limit=limit), attrgetter("product_id")
        )
        return pb.ListProductsResponse(products=map(messages.product, page), next_page_token=token)

    async def UpdateProduct(self, request: pb.UpdateProductRequest, context: Context) -> resources_pb.Product:
        """A new style or category reaches the index too, before the call returns.

        First the facts, then the index: should search not answer, the pictures are marked as pending, and repeating
        the call, or the service's own upkeep, brings the index in line. The other way round the index could say what
        was never decided.
        """
        changed = changes(request, "product", PRODUCT, "product_id")
        product = await self._store.update_product(request.product.product_id, changed)
        if changed.keys() & {"style_id", "category"}:
            await self._indexer.repair(product.product_id)
        return messages.product(product)

    async def DeleteProduct(self, request: pb.DeleteProductRequest, context: Context) -> Empty:
        """Pictures are marked as pending, leave the index, and then the rows go.

        This order loses nothing: whatever fails in between, the product is still there, its pictures say that the
        index may not hold them, and repeating the call completes it (or upkeep puts them back). Rows first would
        leave vectors that scans find and that nobody knows of any more. A picture that is added meanwhile makes the
        last step refuse, and all steps are repeated.
        """
        product_id = check_id(request.product_id, "product_id")
        await self._store.get_product(product_id)
        for _ in range(_TRIES):
            images = await self._store.suspend_images(product_id=product_id)
            await self._indexer.forget([image.image_id for image in images])
            if await self._store.delete_product(product_id, images):
                return Empty()
        msg = f"the pictures of product {product_id!r} keep changing"
        raise UnavailableError(msg)

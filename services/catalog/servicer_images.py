# ruff: noqa: ARG002  (gRPC passes a context)
"""Reference images, and imports."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import grpc
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty

from services.catalog import messages
from services.catalog.comparing import agreements
from services.catalog.feed_reading import FeedFormat
from services.catalog.imports import Imports
from services.catalog.indexing import Indexer
from services.catalog.ingest import Ingest
from services.catalog.operations_servicer import operation_message
from services.catalog.requests import given, one_page
from services.catalog.rules import REFERENCE_IMAGE, facts, optional, text
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import InvalidInputError, NotFoundError, UnavailableError
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources_pb
from shiwu.vision.decode import Limits
from shiwu.vision.local_features import MOST_OF_PHOTO, SIDE, describe
from shiwu.wire.ids import check_id
from shiwu.wire.images import to_photo
from shiwu.wire.pictures import from_message

Context = grpc.aio.ServicerContext[Any, Any]

_TRIES = 10
_MOST = 1000
_MOST_COMPARED = 100
_FORMATS: dict[int, FeedFormat | None] = {
    pb.FEED_FORMAT_UNSPECIFIED: None,
    pb.FEED_FORMAT_CSV: "csv",
    pb.FEED_FORMAT_TSV: "tsv",
    pb.FEED_FORMAT_JSONL: "jsonl",
    pb.FEED_FORMAT_XML: "xml",
}


class ImageMethods:
    """A part of `CatalogService`."""

    _store: CatalogStore
    _indexer: Indexer
    _ingest: Ingest
    _imports: Imports
    _limits: Limits

    async def CreateReferenceImage(
        self, request: pb.CreateReferenceImageRequest, context: Context
    ) -> resources_pb.ReferenceImage:
        found = facts(given(request, "reference_image"), "reference_image", REFERENCE_IMAGE)
        await self._store.get_product(found["product_id"])  # before the picture costs anything
        image = given(request, "image")
        picture = await asyncio.to_thread(from_message, image, "image", self._limits)
        return messages.reference_image(await self._ingest.add(**found, picture=picture))

    async def GetReferenceImage(
        self, request: pb.GetReferenceImageRequest, context: Context
    ) -> resources_pb.ReferenceImage:
        return messages.reference_image(await self._store.get_image(check_id(request.image_id, "image_id")))

    async def ListReferenceImages(
        self, request: pb.ListReferenceImagesRequest, context: Context
    ) -> pb.ListReferenceImagesResponse:
        product_id = optional(check_id)(request.product_id, "product_id")
        page, token = await one_page(
            request,
            lambda after, limit: self._store.list_images(after=after, limit=limit, product_id=product_id),
            attrgetter("image_id"),
        )
        return pb.ListReferenceImagesResponse(
            reference_images=map(messages.reference_image, page), next_page_token=token
        )

    async def DeleteReferenceImage(self, request: pb.DeleteReferenceImageRequest, context: Context) -> Empty:
        """In the order of DeleteProduct, and for its reasons."""
        image_id = check_id(request.image_id, "image_id")
        for _ in range(_TRIES):
            images = await self._store.suspend_images(image_id=image_id)
            if not images:
                msg = f"reference image {image_id!r} does not exist"
                raise NotFoundError(msg)
            await self._indexer.forget([image_id])
            if await self._store.delete_image(images[0]):
                return Empty()
        msg = f"reference image {image_id!r} keeps changing"
        raise UnavailableError(msg)

    async def ReindexReferenceImages(
        self, request: pb.ReindexReferenceImagesRequest, context: Context
    ) -> pb.ReindexReferenceImagesResponse:
        image_ids = _image_ids(request.image_ids, _MOST)
        await self._indexer.index(image_ids)
        return pb.ReindexReferenceImagesResponse(images=len(await self._store.find_images(image_ids)))

    async def CompareReferenceImages(
        self, request: pb.CompareReferenceImagesRequest, context: Context
    ) -> pb.CompareReferenceImagesResponse:
        image_ids = _image_ids(request.image_ids, _MOST_COMPARED)
        image = given(request, "image")
        shown, pictures = await asyncio.gather(
            asyncio.to_thread(lambda: describe(to_photo(image, "image", self._limits, SIDE).pixels, MOST_OF_PHOTO)),
            self._store.find_local_features(image_ids),
        )
        found = await asyncio.to_thread(agreements, shown, pictures)
        return pb.CompareReferenceImagesResponse(
            agreements=[pb.Agreement(image_id=key, **each._asdict()) for key, each in found.items()]
        )

    async def ImportProducts(self, request: pb.ImportProductsRequest, context: Context) -> operations_pb2.Operation:
        if request.format not in _FORMATS:
            msg = f"is {request.format}; expected one of FeedFormat"
            raise InvalidInputError(msg, field="format")
        operation = await self._imports.start(
            feed_uri=text(4_096, 1)(request.feed_uri, "feed_uri"),
            format=_FORMATS[request.format],
            default_merchant=text(200)(request.default_merchant, "default_merchant"),
            complete=request.complete,
            force=request.force,
            pictures_uri=text(4_096)(request.pictures_uri, "pictures_uri"),
        )
        return operation_message(operation, [])


def _image_ids(named: Sequence[str], most: int) -> set[str]:
    if not 1 <= len(named) <= most:
        msg = f"has {len(named)} entries; expected 1 to {most}"
        raise InvalidInputError(msg, field="image_ids")
    return {check_id(each, f"image_ids[{i}]") for i, each in enumerate(named)}

"""Catalogue writes one after the other, and whether what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import cv2
import grpc
import numpy as np
from google.type.money_pb2 import Money

from evaluation.stocked import jpeg
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import search_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import Offer, Product, ReferenceImage
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.v1.vision_pb2 import Image

WRITE_SECONDS: Final = 10.0
_PAUSE: Final = 0.25  # seconds between products
_DELETED: Final = 4  # every so many products are deleted again
_SIDE: Final = 160  # pixels of a picture


@dataclass(frozen=True)
class Write:
    """One write. begun: on the clock of `time.monotonic`."""

    begun: float
    seconds: float
    detail: str
    """Why it was not acknowledged; empty if it was."""


@dataclass
class _Fate:
    """What was asked and acknowledged for one product."""

    created: bool = False
    deletion_asked: bool = False
    deleted: bool = False
    prices: list[int] = field(default_factory=list)
    """The last acknowledged price of its offer, and those asked for since."""
    image: bool = False


class Writer:
    """Adds products with an offer and a picture, changes prices, deletes products. Each is tried once."""

    def __init__(self, catalog: grpc.aio.Channel, search: grpc.aio.Channel) -> None:
        """search: asked about the pictures afterwards."""
        self._stub = CatalogServiceStub(catalog)
        self._search = SearchServiceStub(search)
        self._fates: dict[str, _Fate] = {}
        self.writes: list[Write] = []

    async def run(self) -> None:
        """Until cancelled."""
        for number in count():
            await self._product(number)
            await asyncio.sleep(_PAUSE)

    async def lost(self) -> list[str]:
        """What was acknowledged and is not so."""
        problems: list[str] = []
        for product_id, fate in self._fates.items():
            if fate.deletion_asked and not fate.deleted:
                continue  # either is right
            if fate.deleted:
                problems += await self._remains(product_id)
            elif fate.created:
                problems += await self._missing(product_id, fate)
        return problems + await self._missing_pictures()

    def acknowledged(self) -> dict[str, int]:
        """How many of each kind were."""
        fates = self._fates.values()
        return {
            "products": sum(fate.created for fate in fates),
            "offers": sum(bool(fate.prices) for fate in fates),
            "pictures": sum(fate.image for fate in fates),
            "deletions": sum(fate.deleted for fate in fates),
        }

    async def _product(self, number: int) -> None:
        product_id = f"chaos-{number}"
        fate = self._fates[product_id] = _Fate()
        product = Product(product_id=product_id, title=f"Product {number}", category="other")
        fate.created = await self._acknowledged(self._stub.CreateProduct, pb.CreateProductRequest(product=product))
        if not fate.created:
            return
        image = pb.CreateReferenceImageRequest(
            reference_image=ReferenceImage(image_id=product_id, product_id=product_id),
            image=Image(encoded=picture(number)),
        )
        fate.image = await self._acknowledged(self._stub.CreateReferenceImage, image)
        if await self._acknowledged(self._stub.CreateOffer, pb.CreateOfferRequest(offer=_offer(product_id, 1))):
            fate.prices = [1]
            for price in (2, 3):
                fate.prices.append(price)
                changed = pb.UpdateOfferRequest(offer=_offer(product_id, price))
                if await self._acknowledged(self._stub.UpdateOffer, changed):
                    fate.prices = [price]
        if number % _DELETED == 0:
            fate.deletion_asked = True
            deletion = pb.DeleteProductRequest(product_id=product_id)
            fate.deleted = await self._acknowledged(self._stub.DeleteProduct, deletion)

    async def _acknowledged(self, method: Callable[..., Awaitable[Any]], request: Any) -> bool:
        begun, detail = time.monotonic(), ""
        try:
            await method(request, timeout=WRITE_SECONDS)
        except grpc.aio.AioRpcError as error:
            # A retry inside the channel that finds what the first try has written is acknowledged by that.
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                detail = f"{error.code().name}: {error.details()}"
        self.writes.append(Write(begun, time.monotonic() - begun, detail))
        return not detail

    async def _missing(self, product_id: str, fate: _Fate) -> list[str]:
        if await self._get(self._stub.GetProduct, pb.GetProductRequest(product_id=product_id)) is None:
            return [f"product {product_id} is lost"]
        if fate.prices:
            offer = await self._get(self._stub.GetOffer, pb.GetOfferRequest(offer_id=product_id))
            if offer is None:
                return [f"offer {product_id} is lost"]
            if offer.price.units not in fate.prices:
                return [f"offer {product_id} costs {offer.price.units}, one of {fate.prices} was acknowledged"]
        return []

    async def _remains(self, product_id: str) -> list[str]:
        got = await self._get(self._stub.GetProduct, pb.GetProductRequest(product_id=product_id))
        return [] if got is None else [f"product {product_id} is there, though deleted"]

    async def _missing_pictures(self) -> list[str]:
        kept = [each for each, fate in self._fates.items() if fate.image and not fate.deletion_asked]
        gone = [each for each, fate in self._fates.items() if fate.image and fate.deleted]
        if not kept:
            return []
        image = await self._stub.GetReferenceImage(pb.GetReferenceImageRequest(image_id=kept[0]), timeout=WRITE_SECONDS)
        missing: set[str] = set()
        for start in range(0, len(kept + gone), 1000):
            request = search_pb2.FindMissingRequest(image_ids=(kept + gone)[start : start + 1000], model=image.model)
            missing |= set((await self._search.FindMissing(request, timeout=WRITE_SECONDS)).image_ids)
        lost = [f"picture {each} is not in the index" for each in kept if each in missing]
        return lost + [f"picture {each} is in the index, though deleted" for each in gone if each not in missing]

    async def _get(self, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        try:
            return await method(request, timeout=WRITE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None


def picture(number: int) -> bytes:
    """A JPEG file of soft colours, different for each number, and like no product."""
    colours = np.random.default_rng(number).integers(0, 256, (5, 5, 3), np.uint8)
    return jpeg(cv2.resize(colours, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC))


def _offer(product_id: str, price: int) -> Offer:
    money = Money(currency_code="EUR", units=price)
    return Offer(offer_id=product_id, product_id=product_id, merchant="chaos", price=money, available=True)

"""Styles, products and offers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.resources import Offer, Product, ReferenceImage, Style
from services.catalog.sql import tables
from services.catalog.sql.database import Database
from services.catalog.sql.deletions import note_deletions
from services.catalog.sql.rows import Rows, now
from shiwu.chassis.errors import PreconditionError

STYLES = Rows(tables.styles, Style, "style_id", "style")
PRODUCTS = Rows(tables.products, Product, "product_id", "product", refers_to="style_id")
OFFERS = Rows(tables.offers, Offer, "offer_id", "offer", refers_to="product_id")


class Products:
    """A part of `SqlStore`."""

    _database: Database

    async def create_style(self, style: Style) -> Style:
        async with self._database.write("create_style") as connection:
            return await STYLES.create(connection, style)

    async def get_style(self, style_id: str) -> Style:
        async with self._database.read("get_style") as connection:
            return await STYLES.get(connection, style_id)

    async def find_styles(self, style_ids: Collection[str]) -> dict[str, Style]:
        async with self._database.read("find_styles") as connection:
            return await STYLES.find(connection, style_ids)

    async def list_styles(self, *, after: str, limit: int, category: str = "") -> list[Style]:
        filters = [tables.styles.c.category == category] if category else []
        async with self._database.read("list_styles") as connection:
            return await STYLES.page(connection, after, limit, *filters)

    async def update_style(self, style_id: str, changes: Mapping[str, object]) -> Style:
        async with self._database.write("update_style") as connection:
            return await STYLES.update(connection, style_id, changes)

    async def delete_style(self, style_id: str) -> None:
        try:
            async with self._database.write("delete_style") as connection:
                await STYLES.delete(connection, style_id)
        except IntegrityError as error:
            msg = f"style {style_id!r} has products: delete them or move them to another style first"
            raise PreconditionError(msg) from error

    async def create_product(self, product: Product) -> Product:
        async with self._database.write("create_product") as connection:
            return await PRODUCTS.create(connection, product)

    async def get_product(self, product_id: str) -> Product:
        async with self._database.read("get_product") as connection:
            return await PRODUCTS.get(connection, product_id)

    async def find_products(self, product_ids: Collection[str]) -> dict[str, Product]:
        async with self._database.read("find_products") as connection:
            return await PRODUCTS.find(connection, product_ids)

    async def list_products(self, *, after: str, limit: int, style_id: str = "", category: str = "") -> list[Product]:
        filters = [tables.products.c.style_id == style_id] if style_id else []
        filters += [tables.products.c.category == category] if category else []
        async with self._database.read("list_products") as connection:
            return await PRODUCTS.page(connection, after, limit, *filters)

    async def update_product(self, product_id: str, changes: Mapping[str, object]) -> Product:
        async with self._database.write("update_product") as connection:
            before = await PRODUCTS.get(connection, product_id, lock=True)
            product = await PRODUCTS.update(connection, product_id, changes)
            if (product.style_id, product.category) != (before.style_id, before.category):
                await make_pending(connection, [product_id])
            return product

    async def delete_product(self, product_id: str, images: Collection[ReferenceImage]) -> bool:
        async with self._database.write("delete_product") as connection:
            await PRODUCTS.get(connection, product_id, lock=True)  # PostgreSQL: no picture can be added from here on
            pictures = tables.reference_images.c
            statement = select(pictures.image_id, pictures.revision).where(pictures.product_id == product_id)
            present = {tuple(row) for row in await connection.execute(statement.with_for_update())}
            if present != {(image.image_id, image.revision) for image in images}:
                return False
            await note_deletions(self._database, connection, pictures.product_id == product_id)
            await connection.execute(delete(tables.products).where(tables.products.c.product_id == product_id))
            return True

    async def create_offer(self, offer: Offer) -> Offer:
        async with self._database.write("create_offer") as connection:
            return await OFFERS.create(connection, offer)

    async def get_offer(self, offer_id: str) -> Offer:
        async with self._database.read("get_offer") as connection:
            return await OFFERS.get(connection, offer_id)

    async def list_offers(self, *, after: str, limit: int, product_id: str = "") -> list[Offer]:
        filters = [tables.offers.c.product_id == product_id] if product_id else []
        async with self._database.read("list_offers") as connection:
            return await OFFERS.page(connection, after, limit, *filters)

    async def open_offers(self, merchant: str, *, after: str, limit: int) -> list[str]:
        offers = tables.offers.c
        statement = (
            select(offers.offer_id)
            .where(offers.merchant == merchant, offers.offer_id > after, is_open())
            .order_by(offers.offer_id)
            .limit(limit)
        )
        async with self._database.read("open_offers") as connection:
            return list((await connection.execute(statement)).scalars())

    async def update_offer(self, offer_id: str, changes: Mapping[str, object]) -> Offer:
        if changes.get("available"):
            changes = {**changes, "close_time": None}
        async with self._database.write("update_offer") as connection:
            return await OFFERS.update(connection, offer_id, changes)

    async def delete_offer(self, offer_id: str) -> None:
        async with self._database.write("delete_offer") as connection:
            await OFFERS.delete(connection, offer_id)


def is_open() -> ColumnElement[bool]:
    """Which offers are not closed. A process of the release before makes one available without opening it."""
    return or_(tables.offers.c.close_time.is_(None), tables.offers.c.available)


async def make_pending(connection: AsyncConnection, product_ids: Collection[str]) -> None:
    """Marks these products' pictures as not in the index as they stand: their style or category has changed."""
    pictures = tables.reference_images
    await connection.execute(
        update(pictures)
        .where(pictures.c.product_id.in_(sorted(product_ids)))
        .values(index_time=None, revision=pictures.c.revision + 1, update_time=now())
    )

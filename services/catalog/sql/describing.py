"""What a scan's answer needs to know, in few statements: this is on the way of every scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.resources import Article, Description, Offer, Product, Style
from services.catalog.sql import tables
from services.catalog.sql.articles import read_articles, select_articles
from services.catalog.sql.database import Database
from services.catalog.sql.fulltext import FullText
from services.catalog.sql.products import OFFERS, PRODUCTS, STYLES
from services.catalog.words import title_words

_PRODUCTS_WITH_STYLES = select(
    *PRODUCTS.columns, *(column.label(f"style_{column.name}") for column in STYLES.columns)
).select_from(tables.products.outerjoin(tables.styles))


class Describing:
    """A part of `SqlStore`."""

    _database: Database
    _full_text: FullText

    async def describe(
        self, product_ids: Sequence[str], *, max_articles: int
    ) -> tuple[list[Description], list[Article]]:
        async with self._database.read("describe") as connection:
            descriptions = await _descriptions(connection, list(dict.fromkeys(product_ids)))
            if not descriptions or max_articles < 1:
                return descriptions, []
            return descriptions, await self._articles_about(connection, descriptions[0].product, max_articles)

    async def _articles_about(self, connection: AsyncConnection, product: Product, most: int) -> list[Article]:
        articles = await read_articles(
            connection,
            select_articles()
            .join(tables.article_products)
            .where(tables.article_products.c.product_id == product.product_id)
            .order_by(tables.articles.c.update_time.desc(), tables.articles.c.article_id)
            .limit(most),
        )
        words = title_words(product.title)
        if len(articles) == most or not words:
            return articles
        hits = self._full_text.titled_any(words)
        alike = (
            select_articles()
            .join(hits, hits.c.number == tables.articles.c.number)
            .where(
                tables.articles.c.category.in_([product.category, ""]),
                tables.articles.c.article_id.not_in([article.article_id for article in articles]),
            )
            .order_by(hits.c.rank, tables.articles.c.article_id)
            .limit(most - len(articles))
        )
        return articles + await read_articles(connection, alike)


async def _descriptions(connection: AsyncConnection, product_ids: list[str]) -> list[Description]:
    rows = await connection.execute(_PRODUCTS_WITH_STYLES.where(tables.products.c.product_id.in_(product_ids)))
    found = {row.product_id: row for row in rows}
    table = tables.offers.c
    offers: defaultdict[str, list[Offer]] = defaultdict(list)
    for offer in OFFERS.resources(
        await OFFERS.all(
            connection,
            select(*OFFERS.columns)
            .where(table.product_id.in_(list(found)))
            .order_by(table.available.desc(), table.currency, table.price, table.offer_id),
        )
    ):
        offers[offer.product_id].append(offer)
    return [
        Description(_product(found[product_id]), _style(found[product_id]), tuple(offers[product_id]))
        for product_id in product_ids
        if product_id in found
    ]


def _product(row: Row[Any]) -> Product:
    return Product(**{column.name: getattr(row, column.name) for column in PRODUCTS.columns})


def _style(row: Row[Any]) -> Style | None:
    if not row.style_style_id:
        return None
    return Style(**{column.name: getattr(row, f"style_{column.name}") for column in STYLES.columns})

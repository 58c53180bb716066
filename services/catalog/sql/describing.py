"""What a scan's answer needs to know, in few statements: this is on the way of every scan."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, bindparam, case, func, select, union_all

from services.catalog.resources import Article, Description, Offer, Product
from services.catalog.sql import tables
from services.catalog.sql.articles import ARTICLES, complete
from services.catalog.sql.column_types import KEY
from services.catalog.sql.database import Database
from services.catalog.sql.fulltext import FullText
from services.catalog.sql.products import OFFERS, PRODUCTS, STYLES
from shiwu.words import title_words

# The statements are put together once: SQLAlchemy takes longer for that than SQLite for running them.
_IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)
_PRODUCTS = (
    select(*PRODUCTS.columns, *STYLES.columns)
    .select_from(tables.products.outerjoin(tables.styles))
    .where(tables.products.c.product_id.in_(_IDS))
)
_OFFERS = (
    select(*OFFERS.columns)
    .where(tables.offers.c.product_id.in_(_IDS))
    .order_by(
        tables.offers.c.available.desc(), tables.offers.c.currency, tables.offers.c.price, tables.offers.c.offer_id
    )
)
_LINKS = tables.article_products.c
_ITS_STYLE = union_all(
    select(bindparam("product_id", type_=KEY)),
    select(tables.products.c.product_id).where(tables.products.c.style_id == bindparam("style_id")),
)
_LINKED = (
    select(
        _LINKS.number,
        func.max(_LINKS.score).label("score"),
        func.max(case((_LINKS.product_id == bindparam("product_id"), 1), else_=0)).label("itself"),
    )
    .where(_LINKS.product_id.in_(_ITS_STYLE))
    .group_by(_LINKS.number)
    .subquery()
)
_ABOUT = (
    ARTICLES.join(_LINKED, _LINKED.c.number == tables.articles.c.number)
    .order_by(
        _LINKED.c.score.desc(),
        _LINKED.c.itself.desc(),
        tables.articles.c.update_time.desc(),
        tables.articles.c.article_id,
    )
    .limit(bindparam("most"))
)


class Describing:
    """A part of `SqlStore`."""

    _database: Database
    _full_text: FullText

    async def describe(
        self, product_ids: Sequence[str], *, max_articles: int
    ) -> tuple[list[Description], list[Article]]:
        def read(connection: Connection) -> tuple[list[Description], list[Article]]:
            descriptions = _descriptions(connection, list(dict.fromkeys(product_ids)))
            if not descriptions or max_articles < 1:
                return descriptions, []
            return descriptions, self._articles(connection, descriptions[0].product, max_articles)

        return await self._database.query("describe", read)

    def _articles(self, connection: Connection, product: Product, most: int) -> list[Article]:
        about = {"product_id": product.product_id, "style_id": product.style_id, "most": most}
        rows = list(connection.execute(_ABOUT, about))
        words = title_words(product.title)
        if len(rows) < most and words:
            matching = self._full_text.any_in_title(words)
            categories = [product.category, ""]
            rows += connection.execute(self._alike, {**matching, "categories": categories, "most": most})
        once = {row.number: row for row in rows}
        return complete(connection, list(once.values())[:most])

    @cached_property
    def _alike(self) -> Select[Any]:
        hits = self._full_text.hits
        return (
            ARTICLES.join(hits, hits.c.number == tables.articles.c.number)
            .where(tables.articles.c.category.in_(bindparam("categories", expanding=True)))
            .order_by(hits.c.rank, tables.articles.c.article_id)
            .limit(bindparam("most"))
        )


def _descriptions(connection: Connection, product_ids: list[str]) -> list[Description]:
    found = {row.product_id: row for row in connection.execute(_PRODUCTS, {"ids": product_ids})}
    offers: dict[str, list[Offer]] = {product_id: [] for product_id in product_ids if product_id in found}
    for row in connection.execute(_OFFERS, {"ids": list(offers)}):
        offers[row.product_id].append(OFFERS.resource(row))
    width = len(PRODUCTS.columns)
    return [
        Description(
            product := PRODUCTS.resource(found[product_id][:width]),
            STYLES.resource(found[product_id][width:]) if product.style_id else None,
            tuple(its_offers),
        )
        for product_id, its_offers in offers.items()
    ]

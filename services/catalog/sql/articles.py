"""Articles, and looking them up by their words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.resources import Article
from services.catalog.sql import tables
from services.catalog.sql.database import Database, violated
from services.catalog.sql.fulltext import FullText
from services.catalog.sql.rows import Rows
from shiwu.chassis.errors import NotFoundError
from shiwu.words import query_words

_ROWS = Rows(tables.articles, Article, "article_id", "article")
_NUMBER = tables.articles.c.number


ARTICLES = select(_NUMBER, *_ROWS.columns)
"""What articles are read by."""
_LINKS = (
    select(tables.article_products.c.number, tables.article_products.c.product_id, tables.article_products.c.score)
    .where(tables.article_products.c.number.in_(bindparam("numbers", expanding=True)))
    .order_by(tables.article_products.c.number, tables.article_products.c.position)
)


class Articles:
    """A part of `SqlStore`."""

    _database: Database
    _full_text: FullText

    async def create_article(self, article: Article) -> Article:
        async with self._database.write("create_article") as connection:
            values = _ROWS.values(article)
            with _ROWS.references_kept(values):
                result = await connection.execute(insert(tables.articles).values(values).returning(_NUMBER))
            number = result.scalar_one()
            await connection.run_sync(self._full_text.put, number, article.title, article.body)
            await _link(connection, number, article.product_ids, article.product_scores)
            return _ROWS.as_written(article, values)

    async def get_article(self, article_id: str) -> Article:
        async with self._database.read("get_article") as connection:
            statement = ARTICLES.where(_ROWS.key_column == article_id)
            return _only(await connection.run_sync(read_articles, statement), article_id)

    async def list_articles(self, *, after: str, limit: int) -> list[Article]:
        statement = ARTICLES.where(_ROWS.key_column > after).order_by(_ROWS.key_column).limit(limit)
        async with self._database.read("list_articles") as connection:
            return await connection.run_sync(read_articles, statement)

    async def search_articles(self, query: str, *, offset: int, limit: int) -> list[Article]:
        words = query_words(query)
        if not words:
            return []
        hits = self._full_text.hits
        statement = ARTICLES.join(hits, hits.c.number == _NUMBER).order_by(hits.c.rank, _ROWS.key_column)
        async with self._database.read("search_articles") as connection:
            return await connection.run_sync(
                read_articles, statement.offset(offset).limit(limit), **self._full_text.all_of(words)
            )

    async def update_article(self, article_id: str, changes: Mapping[str, object]) -> Article:
        values = {name: value for name, value in changes.items() if name not in ("product_ids", "product_scores")}
        async with self._database.write("update_article") as connection:
            article = await _ROWS.update(connection, article_id, values)
            number = await _number(connection, article_id)
            await connection.run_sync(self._full_text.put, number, article.title, article.body)
            if "product_ids" in changes:
                await connection.execute(
                    delete(tables.article_products).where(tables.article_products.c.number == number)
                )
                await _link(connection, number, changes["product_ids"], changes.get("product_scores"))
            statement = ARTICLES.where(_ROWS.key_column == article_id)
            return _only(await connection.run_sync(read_articles, statement), article_id)

    async def delete_article(self, article_id: str) -> None:
        async with self._database.write("delete_article") as connection:
            number = await _number(connection, article_id)
            await self._full_text.delete(connection, number)
            await _ROWS.delete(connection, article_id)


def read_articles(connection: Connection, /, statement: Select[Any], **values: object) -> list[Article]:
    """The articles that a statement made from `ARTICLES` finds, with the products that they are about."""
    return complete(connection, connection.execute(statement, values).all())


def complete(connection: Connection, rows: Sequence[Row[Any]]) -> list[Article]:
    """The articles of rows of `ARTICLES`, with the products that they are about."""
    if not rows:
        return []
    about: defaultdict[int, list[tuple[str, float]]] = defaultdict(list)
    for number, *link in connection.execute(_LINKS, {"numbers": [row.number for row in rows]}):
        about[number].append(tuple(link))
    return [_article(row, about[row.number]) for row in rows]


def _article(row: Row[Any], links: Sequence[tuple[str, float]]) -> Article:
    values = {column.name: getattr(row, column.name) for column in _ROWS.columns}
    scores = tuple(score for _, score in links)
    sure = all(score == 1 for score in scores)
    return Article(
        **values, product_ids=tuple(product_id for product_id, _ in links), product_scores=() if sure else scores
    )


def _only(found: Sequence[Article], article_id: str) -> Article:
    if not found:
        raise _ROWS.missing(article_id)
    return found[0]


async def _number(connection: AsyncConnection, article_id: str) -> int:
    statement = select(_NUMBER).where(_ROWS.key_column == article_id)
    number = (await connection.execute(statement)).scalar_one_or_none()
    if number is None:
        raise _ROWS.missing(article_id)
    return int(number)


async def _link(connection: AsyncConnection, number: int, product_ids: Any, scores: Any) -> None:
    links = dict(zip(product_ids, scores or repeat(1.0), strict=False))
    rows = [
        {"number": number, "product_id": product_id, "position": position, "score": score}
        for position, (product_id, score) in enumerate(links.items())
    ]
    if not rows:
        return
    known = tables.products.c.product_id
    statement = select(known).where(known.in_([row["product_id"] for row in rows]))
    found = set((await connection.execute(statement)).scalars())
    if missing := [row["product_id"] for row in rows if row["product_id"] not in found]:
        msg = f"product_ids: {missing[0]!r} does not exist"
        raise NotFoundError(msg)
    try:
        await connection.execute(insert(tables.article_products), rows)
    except IntegrityError as error:
        violated(error)
        msg = "product_ids: one of them was deleted meanwhile"
        raise NotFoundError(msg) from error

"""Full-text lookup of articles by SQLite's FTS5 and PostgreSQL's tsvector, over the same words (shiwu.words).

Both keep the table `article_terms`, made by the migrations: not a part of `metadata`, because each is written in its
database's own way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from sqlalchemy import Float, Integer, Subquery, column, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shiwu.words import index_words

TABLE = "article_terms"

SQLITE_SCHEMA = (
    # The words come ready made; "ascii" leaves every other character alone.
    f"CREATE VIRTUAL TABLE {TABLE} USING fts5(title, body, tokenize = 'ascii')",
)
POSTGRESQL_SCHEMA = (
    f"CREATE TABLE {TABLE} (number integer PRIMARY KEY REFERENCES articles (number) ON DELETE CASCADE,"
    " terms tsvector NOT NULL)",
    f"CREATE INDEX ix_{TABLE}_terms ON {TABLE} USING gin (terms)",
)

_MOST_BYTES = 400_000
"""Of an article's different words; a tsvector holds 1 MiB, positions included."""
_MOST_POSITIONS = 20
"""Of one word; PostgreSQL ranks by them, and more of them hardly change a rank."""
_LAST_POSITION = 16_383


class FullText(Protocol):
    """The words of articles. An article's number is its key."""

    hits: Subquery
    """(number, rank) of the articles that the bound parameter "words" matches; the lowest rank is the best."""

    async def put(self, connection: AsyncConnection, number: int, title: str, body: str) -> None:
        """Adds or replaces an article's words."""
        ...

    async def delete(self, connection: AsyncConnection, number: int) -> None:
        """Forgets an article's words."""
        ...

    def all_of(self, words: Sequence[str]) -> str:
        """What matches articles with all these words (one at least)."""
        ...

    def any_in_title(self, words: Sequence[str]) -> str:
        """What matches articles with one of these words (one at least) in the title."""
        ...


def full_text(dialect: str) -> FullText:
    return Fts5() if dialect == "sqlite" else TsVector()


def _hits(statement: str) -> Subquery:
    return text(statement).columns(column("number", Integer), column("rank", Float)).subquery()


class Fts5:
    """SQLite's extension; ranks by BM25, a word in the title counting as ten in the body."""

    hits = _hits(f"SELECT rowid AS number, bm25({TABLE}, 10.0, 1.0) AS rank FROM {TABLE} WHERE {TABLE} MATCH :words")  # noqa: S608

    async def put(self, connection: AsyncConnection, number: int, title: str, body: str) -> None:
        await self.delete(connection, number)
        words = {"number": number, "title": " ".join(index_words(title)), "body": " ".join(index_words(body))}
        await connection.execute(
            text(f"INSERT INTO {TABLE} (rowid, title, body) VALUES (:number, :title, :body)"),  # noqa: S608
            words,
        )

    async def delete(self, connection: AsyncConnection, number: int) -> None:
        await connection.execute(text(f"DELETE FROM {TABLE} WHERE rowid = :number"), {"number": number})  # noqa: S608

    def all_of(self, words: Sequence[str]) -> str:
        return " AND ".join(f'"{word}"' for word in words)

    def any_in_title(self, words: Sequence[str]) -> str:
        return "title : (" + " OR ".join(f'"{word}"' for word in words) + ")"


class TsVector:
    """PostgreSQL's own; ranks by ts_rank, a word in the title counting as ten in the body."""

    hits = _hits(
        f"SELECT number, -ts_rank('{{0.1, 0.1, 0.1, 1.0}}', terms, query, 1) AS rank"  # noqa: S608
        f" FROM {TABLE}, CAST(:words AS tsquery) AS query WHERE terms @@ query"
    )

    async def put(self, connection: AsyncConnection, number: int, title: str, body: str) -> None:
        await connection.execute(
            text(
                f"INSERT INTO {TABLE} (number, terms) VALUES (:number, CAST(:terms AS tsvector))"  # noqa: S608
                " ON CONFLICT (number) DO UPDATE SET terms = excluded.terms"
            ),
            {"number": number, "terms": " ".join(_lexemes(title, body))},
        )

    async def delete(self, connection: AsyncConnection, number: int) -> None:
        """Nothing to do: the row goes with its article."""

    def all_of(self, words: Sequence[str]) -> str:
        return " & ".join(f"'{word}'" for word in words)

    def any_in_title(self, words: Sequence[str]) -> str:
        return " | ".join(f"'{word}':A" for word in words)


def _lexemes(title: str, body: str) -> Iterator[str]:
    """An article's words as PostgreSQL writes them: 'word':1A,7 where A marks the title."""
    positions: defaultdict[str, list[str]] = defaultdict(list)
    size = 0
    for position, (word, weight) in enumerate(_weighted(title, body), 1):
        if word not in positions:
            size += len(word.encode())
            if size > _MOST_BYTES:
                break
        if len(positions[word]) < _MOST_POSITIONS:
            positions[word].append(f"{min(position, _LAST_POSITION)}{weight}")
    return (f"'{word}':{','.join(places)}" for word, places in positions.items())


def _weighted(title: str, body: str) -> Iterable[tuple[str, str]]:
    yield from ((word, "A") for word in index_words(title))
    yield from ((word, "") for word in index_words(body))

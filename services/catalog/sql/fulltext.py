"""Full-text lookup of articles by SQLite's FTS5 and PostgreSQL's tsvector, over the same words (shiwu.words).

Both keep the table `article_terms`, made by the migrations: not a part of `metadata`, because each is written in its
database's own way. A title as a whole is a word, too: the article that is called what is looked for comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from sqlalchemy import Connection, Float, Integer, Subquery, column, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shiwu.words import index_words, query_words

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
_MOST_WHOLE = 500
"""Characters of a title that is a word as a whole; a lexeme may have 2,046 bytes."""


class FullText(Protocol):
    """The words of articles. An article's number is its key."""

    hits: Subquery
    """(number, rank) of the articles that the parameters bound by `all_of` or `any_in_title` match.

    The lowest rank is the best; those with exactly these words as their title come before all others.
    """

    def put(self, connection: Connection, number: int, title: str, body: str) -> None:
        """Adds or replaces an article's words."""
        ...

    async def delete(self, connection: AsyncConnection, number: int) -> None:
        """Forgets an article's words."""
        ...

    def all_of(self, words: Sequence[str]) -> dict[str, str]:
        """Parameters that match articles with all these words (one at least)."""
        ...

    def any_in_title(self, words: Sequence[str]) -> dict[str, str]:
        """Parameters that match articles with one of these words (one at least) in the title."""
        ...


def full_text(dialect: str) -> FullText:
    return Fts5() if dialect == "sqlite" else TsVector()


def _hits(statement: str) -> Subquery:
    return text(statement).columns(column("number", Integer), column("rank", Float)).subquery()


class Fts5:
    """SQLite's extension; ranks by BM25, a word in the title counting as ten in the body."""

    hits = _hits(
        f"SELECT rowid AS number, bm25({TABLE}, 10.0, 1.0)"  # noqa: S608
        f" - 1e6 * (rowid IN (SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH :whole)) AS rank"
        f" FROM {TABLE} WHERE {TABLE} MATCH :words"
    )
    _delete = text(f"DELETE FROM {TABLE} WHERE rowid = :number")  # noqa: S608

    def put(self, connection: Connection, number: int, title: str, body: str) -> None:
        connection.execute(self._delete, {"number": number})
        words = {"number": number, "title": " ".join(_title(title)), "body": " ".join(index_words(body))}
        connection.execute(
            text(f"INSERT INTO {TABLE} (rowid, title, body) VALUES (:number, :title, :body)"),  # noqa: S608
            words,
        )

    async def delete(self, connection: AsyncConnection, number: int) -> None:
        await connection.execute(self._delete, {"number": number})

    def all_of(self, words: Sequence[str]) -> dict[str, str]:
        return {"words": " AND ".join(map(_quoted, words)), "whole": _quoted(_whole(words))}

    def any_in_title(self, words: Sequence[str]) -> dict[str, str]:
        return {"words": f"title : ({' OR '.join(map(_quoted, words))})", "whole": _quoted(_whole(words))}


class TsVector:
    """PostgreSQL's own; ranks by ts_rank, a word in the title counting as ten in the body."""

    hits = _hits(
        f"SELECT number, -ts_rank('{{0.1, 0.1, 0.1, 1.0}}', terms, query, 1)"  # noqa: S608
        " - 1e6 * CAST(terms @@ CAST(:whole AS tsquery) AS integer) AS rank"
        f" FROM {TABLE}, CAST(:words AS tsquery) AS query WHERE terms @@ query"
    )

    def put(self, connection: Connection, number: int, title: str, body: str) -> None:
        connection.execute(
            text(
                f"INSERT INTO {TABLE} (number, terms) VALUES (:number, CAST(:terms AS tsvector))"  # noqa: S608
                " ON CONFLICT (number) DO UPDATE SET terms = excluded.terms"
            ),
            {"number": number, "terms": " ".join(_lexemes(title, body))},
        )

    async def delete(self, connection: AsyncConnection, number: int) -> None:
        """Nothing to do: the row goes with its article."""

    def all_of(self, words: Sequence[str]) -> dict[str, str]:
        return {"words": " & ".join(f"'{word}'" for word in words), "whole": f"'{_whole(words)}'"}

    def any_in_title(self, words: Sequence[str]) -> dict[str, str]:
        return {"words": " | ".join(f"'{word}':A" for word in words), "whole": f"'{_whole(words)}'"}


def _title(title: str) -> Iterator[str]:
    yield from index_words(title)
    yield _whole(query_words(title))


def _whole(words: Sequence[str]) -> str:
    """The words as one, which no text has; its beginning if it is long. All its signs are letters to both databases."""
    return "".join(f"\u2261{word}" for word in words)[:_MOST_WHOLE] or "\u2261"


def _quoted(word: str) -> str:
    return f'"{word}"'


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
    yield from ((word, "A") for word in _title(title))
    yield from ((word, "") for word in index_words(body))

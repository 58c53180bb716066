"""The catalogue's facts in SQLite or PostgreSQL, through SQLAlchemy."""

from __future__ import annotations

from services.catalog.sql.articles import Articles
from services.catalog.sql.batches import Batches
from services.catalog.sql.coverage import Coverage
from services.catalog.sql.database import Database
from services.catalog.sql.deletions import Deletions
from services.catalog.sql.describing import Describing
from services.catalog.sql.fulltext import full_text
from services.catalog.sql.images import Images
from services.catalog.sql.operations import Operations
from services.catalog.sql.products import Products
from services.catalog.sql.versions import Versions

__all__ = ["SqlStore"]


class SqlStore(Products, Images, Deletions, Versions, Articles, Describing, Coverage, Batches, Operations):
    """`CatalogStore` over SQL; the parts are in the modules of this package. The database must be migrated."""

    def __init__(self, database: Database) -> None:
        """Takes `database` over: `close` closes it."""
        self._database = database
        self._full_text = full_text(database.dialect)

    async def ready(self) -> bool:
        return await self._database.ready()

    async def close(self) -> None:
        await self._database.close()

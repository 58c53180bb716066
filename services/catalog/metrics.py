"""How far the index is behind the rows, what imports come to, and how busy the database is.

All of it is read from the database, so every process of the catalogue tells the same: take the maximum, not the sum.
Only the connections are a process's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from services.catalog.resources import Backlog
from services.catalog.sql.database import Database
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import UnavailableError


class CatalogMetrics:
    """The state of the catalogue."""

    def __init__(self, store: CatalogStore, database: Database) -> None:
        self._store = store
        self._database = database
        self._backlog: Backlog | None = None

    async def look(self) -> None:
        """Asks the database how things stand."""
        try:
            self._backlog = await self._store.backlog()
        except UnavailableError:
            self._backlog = None  # what is not known any more is not told
            raise

    def collect(self) -> Iterator[Metric]:
        database = self._database
        yield _gauge("database_connections_used", "Connections to the database in use.", database.connections_used)
        yield _gauge("database_connections_limit", "Connections that may be used.", database.connections)
        backlog = self._backlog
        if backlog is None:
            return
        age = 0.0 if backlog.pending_since is None else max(0.0, time.time() - backlog.pending_since.timestamp())
        yield _gauge("index_pending_images", "Pictures that the index does not hold yet.", backlog.images_pending)
        yield _gauge("index_pending_seconds", "For how long the oldest of them has waited.", age)
        yield _gauge("imports_running", "Imports that are not finished.", backlog.imports_running)
        rows = CounterMetricFamily("shiwu_import_rows", "Rows of the imports that are remembered.", labels=["outcome"])
        rows.add_metric(["imported"], backlog.rows_imported)
        rows.add_metric(["failed"], backlog.rows_failed)
        yield rows


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"shiwu_{name}", documentation, value)

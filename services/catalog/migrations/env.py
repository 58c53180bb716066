"""Run by Alembic on the connection that services/catalog/sql/migrating.py hands over."""

from __future__ import annotations

from typing import Any

from alembic import context

from services.catalog.sql import fulltext
from services.catalog.sql.tables import metadata


def _is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """The full-text index makes tables of its own, each database in its way; models do not describe them."""
    return not (kind == "table" and name is not None and name.startswith(fulltext.TABLE))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_name=_is_ours,
    # A migration that fails leaves nothing behind; SQLite can do that too, whatever Alembic assumes.
    transactional_ddl=True,
    render_as_batch=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()

"""Brings a database's tables to the revision that this code is written for."""

from __future__ import annotations

import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from services.catalog import migrations
from services.catalog.sql.database import Database
from shiwu.chassis.errors import PreconditionError, UnavailableError

_LOCK = 0x5A1B_0CA7
"""Key of the PostgreSQL advisory lock under which only one process migrates; any number would do."""

_PATIENCE = 60


async def migrate(database: Database) -> None:
    """Brings the tables to the newest revision. Processes that do so at the same time wait for each other.

    Raises UnavailableError if one of them takes longer than a minute, or the database does not answer.
    """
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            async with database.write("migrate") as connection:  # SQLite: nobody else writes meanwhile
                if database.dialect == "postgresql":
                    await connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}s'"))
                    await connection.execute(text("SET LOCAL statement_timeout = 0"))  # large tables take their time
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                await connection.run_sync(_upgrade)
        except UnavailableError as error:
            if "database is locked" not in str(error) or time.monotonic() > patience:
                raise
        else:
            return


async def check_revision(database: Database) -> None:
    """PreconditionError if the tables are not those of this code, saying what to do."""
    async with database.read("check_revision") as connection:
        present = await connection.run_sync(lambda inner: MigrationContext.configure(inner).get_current_revision())
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if present != wanted:
        msg = (
            f"the database is at revision {present or 'none (it is empty)'}, this program needs {wanted}:"
            " run `python -m services.catalog migrate` of this version first"
        )
        raise PreconditionError(msg)


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    return config

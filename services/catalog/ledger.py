"""The port to the imports that are under way and that were."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from services.catalog.resources import Operation, RowProblem


class ImportLedger(Protocol):
    """Imports in a database: who works on which, how far it is, and what it could not use.

    A part of `CatalogStore`, whose rules hold: each method is one transaction, and so on.
    """

    async def create_operation(self, operation: Operation) -> Operation:
        """Adds an import to the ledger; nobody has claimed it."""
        ...

    async def get_operation(self, operation_id: str) -> Operation:
        """Returns an import."""
        ...

    async def list_operations(self, *, after: str, limit: int, running: bool | None = None) -> list[Operation]:
        """Imports, all or only those (not) running."""
        ...

    async def claim_operation(self, owner: str, lease: float, operation_id: str = "") -> Operation | None:
        """Claims a running import that nobody works on (its lease has run out, or it never had one) for `lease` s.

        The oldest, or only `operation_id` if given. None: there is nothing to claim. No two owners ever hold the
        same import at a time; an owner's own unexpired import is not claimed again.
        """
        ...

    async def renew_lease(self, operation_id: str, owner: str, lease: float) -> Operation | None:
        """Keeps a claimed import for another `lease` seconds. None: it is not the owner's (any more): stop working.

        Look at `cancel_requested` in the answer.
        """
        ...

    async def finish_operation(
        self,
        operation_id: str,
        owner: str,
        *,
        state: str,
        error: str = "",
        errors_path: str = "",
        index_time: datetime | None = None,
    ) -> Operation:
        """Ends a claimed import and its lease. PreconditionError if it is not the owner's (any more)."""
        ...

    async def release_operation(self, operation_id: str, owner: str) -> None:
        """Gives a claimed import back unfinished, for another process or the next start. Ignored if not the owner's."""
        ...

    async def cancel_operation(self, operation_id: str) -> Operation:
        """Asks the process that works on an import to stop. No effect on a finished one."""
        ...

    async def delete_operation(self, operation_id: str) -> None:
        """Forgets a finished import. PreconditionError while it is running."""
        ...

    async def list_problems(self, operation_id: str, *, after_row: int = 0, limit: int = 1000) -> list[RowProblem]:
        """Rows that an import could not use, by row (then field)."""
        ...

"""`shiwu keys`: API keys made, listed and revoked, in the file that the servers read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from shiwu.chassis.api_keys import create_key, read_keys, revoke_key
from shiwu.cli.connection import InputError

SCOPES: Final = ("scan", "catalog:write", "admin")


def create(
    file: Path,
    scopes: list[str],
    owner: str,
    *,
    days: float | None,
    rate: float | None,
    burst: int | None,
    concurrency: int | None,
) -> None:
    """Adds a key to the file, and prints it: this once."""
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        msg = f"there is no scope {unknown[0]}; expected some of {', '.join(SCOPES)}"
        raise InputError(msg)
    key, record = create_key(
        file, prefix="shiwu", scopes=scopes, owner=owner, days=days, rate=rate, burst=burst, concurrency=concurrency
    )
    Console(stderr=True).print(f"{record.key_id} may {', '.join(scopes)}. The key is shown this once:")
    print(key)  # noqa: T201  alone on stdout, for a pipe into a secret store


def show(file: Path) -> None:
    """Prints a table of the keys, without secrets: there are none to print."""
    key = Column("key", no_wrap=True)
    table = Table(key, "owner", "scopes", "made", "expires", "calls/s", "burst", "at once")
    for record in read_keys(file):
        days = [f"{day:%Y-%m-%d}" if day else "never" for day in (record.create_time, record.expire_time)]
        limits = [str(each or "default") for each in (record.rate, record.burst, record.concurrency)]
        table.add_row(record.key_id, escape(record.owner), ", ".join(record.scopes), *days, *limits)
    Console().print(table)


def revoke(file: Path, key_id: str) -> None:
    """Takes a key out of the file."""
    revoke_key(file, key_id)
    Console(stderr=True).print(f"{escape(key_id)} is revoked; servers that read this file refuse it within a second")

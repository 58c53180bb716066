"""The commands about gaps; gaps.py carries them out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from offline.indexing.discovery import DiscoveryRule
from offline.indexing.replay import ReplaySettings
from shiwu.cli import gaps
from shiwu.cli.connection import CATALOG, GATEWAY, fail_clearly
from shiwu.cli.targets import Catalog, Gateway

gaps_app = typer.Typer(help="Show what people scan and the catalogue does not have; replay it; what to import next.")


@gaps_app.callback(invoke_without_command=True)
def _gaps(
    context: typer.Context,
    category: Annotated[str, typer.Option(help="Only this category.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many clusters.", min=1)] = 20,
    draw: Annotated[Path | None, typer.Option(help="Save a contact sheet of their crops as a PNG.")] = None,
    catalog: Catalog = CATALOG,
) -> None:
    """Show what people scan and the catalogue does not have, the most demand first."""
    if context.invoked_subcommand is not None:
        return
    with fail_clearly():
        gaps.show(catalog, category=category, limit=limit, draw=draw)


@gaps_app.command("cluster")
def _cluster(catalog: Catalog = CATALOG) -> None:
    """Find out which gaps ask for the same thing."""
    with fail_clearly():
        gaps.cluster(catalog)


@gaps_app.command("replay")
def _replay(
    run: Annotated[str, typer.Option(help="Its name; that of a run that was stopped goes on. [default: now]")] = "",
    closed_too: Annotated[bool, typer.Option("--closed-too", help="Check closed gaps, too.")] = False,
    at_once: Annotated[int, typer.Option(help="Scans at a time.", min=1)] = 2,
    gateway: Gateway = GATEWAY,
    catalog: Catalog = CATALOG,
) -> None:
    """Scan the gaps' crops again: those that find a product by now are closed."""
    name = run or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with fail_clearly():
        answered = gaps.replay(catalog, gateway, name, ReplaySettings(at_once=at_once, closed_too=closed_too))
    raise typer.Exit(0 if answered else 3)


@gaps_app.command("next")
def _next(
    limit: Annotated[int, typer.Option(help="At most so many proposals.", min=1)] = 20,
    min_demand: Annotated[int, typer.Option(help="Scans that a thing needs to be proposed.", min=2)] = 2,
    min_pictures: Annotated[int, typer.Option(help="Pictures below which a style has few.", min=1)] = 3,
    catalog: Catalog = CATALOG,
) -> None:
    """Propose what to import next, and why."""
    with fail_clearly():
        gaps.propose(catalog, limit, DiscoveryRule(min_demand=min_demand, min_pictures=min_pictures))

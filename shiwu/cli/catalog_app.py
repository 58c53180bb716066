"""The commands about the catalogue; catalog.py carries them out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shiwu.cli import catalog
from shiwu.cli.connection import CATALOG, fail_clearly
from shiwu.cli.targets import Catalog

catalog_app = typer.Typer(no_args_is_help=True, help="Import, list, show and delete products.")


@catalog_app.command("import")
def _import(
    feed: Annotated[Path, typer.Argument(help="A product feed: .csv, .tsv, .jsonl or .xml.")],
    merchant: Annotated[str, typer.Option(help="Merchant of the rows that name none.")] = "",
    complete: Annotated[
        bool, typer.Option("--complete", help="It is all that its merchants offer: close their other offers.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --complete: close also more than half of them.")] = False,
    target: Catalog = CATALOG,
) -> None:
    """Import a product feed and follow it until it is done."""
    with fail_clearly():
        done = catalog.import_feed(feed, merchant, target, complete=complete, force=force)
    raise typer.Exit(0 if done else 2)


@catalog_app.command("watch")
def _watch(
    operation: Annotated[str, typer.Argument(help="As `import` printed it.")],
    target: Catalog = CATALOG,
) -> None:
    """Follow an import that is under way."""
    with fail_clearly():
        complete = catalog.watch(operation, target)
    raise typer.Exit(0 if complete else 2)


@catalog_app.command("list")
def _list(
    category: Annotated[str, typer.Option(help="Only this category.")] = "",
    style: Annotated[str, typer.Option(help="Only this style.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many products.", min=1)] = 50,
    target: Catalog = CATALOG,
) -> None:
    """List products."""
    with fail_clearly():
        catalog.list_products(category, style, limit, target)


@catalog_app.command("show")
def _show(product_id: str, target: Catalog = CATALOG) -> None:
    """Show a product with its pictures and offers."""
    with fail_clearly():
        catalog.show(product_id, target)


@catalog_app.command("delete")
def _delete(
    product_id: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    target: Catalog = CATALOG,
) -> None:
    """Delete a product with its pictures and offers."""
    if not yes:
        typer.confirm(f"Delete {product_id} with its pictures and offers?", abort=True)
    with fail_clearly():
        catalog.delete(product_id, target)


@catalog_app.command("pictures")
def _pictures(
    out: Annotated[Path, typer.Argument(help="The list to write, in JSON lines.")],
    folder: Annotated[
        Path, typer.Option(help="What paths are relative to: the folder of the feed that named them.")
    ] = Path(),
    category: Annotated[str, typer.Option(help="Only this category.")] = "",
    target: Catalog = CATALOG,
) -> None:
    """List the catalogue's pictures for the jobs that clean them (`shiwu jobs run dedup --set source=OUT`)."""
    with fail_clearly():
        catalog.list_pictures(out, folder, category, target)

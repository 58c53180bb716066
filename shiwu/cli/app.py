"""The commands and their options; each is carried out by the module of its name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from shiwu.cli import canary, coverage, keys, models, scan, shards, status, up
from shiwu.cli.catalog_app import catalog_app
from shiwu.cli.connection import CATALOG, EMBEDDER, GATEWAY, SEARCH, Credentials, credentials, fail_clearly
from shiwu.cli.gaps_app import gaps_app
from shiwu.cli.mesh import Layout
from shiwu.cli.targets import Catalog, Gateway, Search


class _Commands(TyperGroup):
    """The commands, and those of offline work, whose packages (extra `jobs`) take a second to import."""

    _offline = ("jobs", "review")

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *(self._offline if find_spec("dbos") else ())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self._offline or not find_spec("dbos"):
            return super().get_command(ctx, cmd_name)
        command = typer.main.get_command(getattr(import_module("shiwu.cli.offline_app"), f"{cmd_name}_app"))
        command.name = cmd_name
        return command


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(catalog_app, name="catalog")
shards_app = typer.Typer(help="Show, check, add and drain the shards of the index.")
app.add_typer(shards_app, name="shards")
app.add_typer(gaps_app, name="gaps")
keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
app.add_typer(keys_app, name="keys")

KeyFile = Annotated[Path, typer.Option("--file", envvar="SHIWU_KEYS", help="The file that the servers read.")]
Map = Annotated[Path, typer.Option("--map", envvar="SHIWU_SHARDS", help="The shard map, as SEARCH_SHARDS names it.")]


@app.callback()
def _about(
    context: typer.Context,
    key: Annotated[
        str | None, typer.Option(envvar="SHIWU_KEY", help="API key or token; the variable keeps it out of sight.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(envvar="SHIWU_CA", help="PEM file of the servers' CA. [default: no TLS]")
    ] = None,
    cert: Annotated[Path | None, typer.Option(envvar="SHIWU_CERT", help="PEM file to show, for mutual TLS.")] = None,
    cert_key: Annotated[Path | None, typer.Option(envvar="SHIWU_CERT_KEY", help="Its private key.")] = None,
    server_name: Annotated[
        str | None, typer.Option(envvar="SHIWU_SERVER_NAME", help="Name in the server's certificate, if not the host.")
    ] = None,
) -> None:
    """Finds the same product from a photo.

    Exit codes: 0 done (a scan: the product was found), 1 not in the catalogue or undecided, 2 the input is wrong,
    3 a service does not answer, 4 anything else.
    """
    shown = credentials.set(Credentials(key, ca, cert, cert_key, server_name))
    context.call_on_close(lambda: credentials.reset(shown))


@app.command("up")
def _up(
    home: Annotated[Path, typer.Option(help="Where stores and logs are kept.")] = Path(".shiwu"),
    port: Annotated[int, typer.Option(help="Port of the gateway; the other services take the next five.")] = 50050,
    import_root: Annotated[
        list[Path] | None, typer.Option(help="A folder that feeds may be imported from; may be repeated. [default: .]")
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder of the released models.")] = Path("models"),
) -> None:
    """Start all services with embedded stores, here, until Ctrl-C."""
    up.up(Layout(home=home, port=port, models=models, import_roots=tuple(import_root or [Path()])))


@app.command("scan")
def _scan(
    photo: Annotated[Path, typer.Argument(help="JPEG, PNG, WebP or HEIC file.")],
    json: Annotated[bool, typer.Option("--json", help="Print the answer as the proto's canonical JSON.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print votes, candidates and times, too.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Save the photo with its boxes and matches as a PNG.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Styles in the answer, 1 to 100.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 10.0,
    gateway: Gateway = GATEWAY,
    catalog: Catalog = CATALOG,
) -> None:
    """Find the product in a photo."""
    with fail_clearly():
        found = scan.scan(
            photo, json=json, explain=explain, draw=draw, top_k=top_k, timeout=timeout, gateway=gateway, catalog=catalog
        )
    raise typer.Exit(0 if found else 1)


@app.command("status")
def _status(
    host: Annotated[str, typer.Option(help="Where the services listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the gateway; the other services take the next five.")] = 50050,
    search: Annotated[str, typer.Option("--search", envvar="SHIWU_SEARCH", help="host:port of search.")] = SEARCH,
) -> None:
    """Show which services serve, and what the shards hold."""
    with fail_clearly():
        serving = status.status(host, port, search)
    raise typer.Exit(0 if serving else 3)


@app.command("canary")
def _canary(
    photos: Annotated[Path, typer.Option(help="A manifest.jsonl of known photos, or the folder that has one.")],
    every: Annotated[float, typer.Option(help="Seconds between the starts of two rounds.", min=1)] = 60.0,
    metrics_port: Annotated[int | None, typer.Option(help="Port of the metrics. [default: none]")] = None,
    metrics_host: Annotated[str, typer.Option(help="Address to serve the metrics on.")] = "127.0.0.1",
    once: Annotated[bool, typer.Option("--once", help="One round, and exit with 1 if it was not good.")] = False,
    min_recall: Annotated[float, typer.Option(help="Recall@1 of a good round.", min=0, max=1)] = 0.8,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 10.0,
    gateway: Gateway = GATEWAY,
) -> None:
    """Scan known photos again and again, and tell Prometheus what was found."""
    watch = canary.Watch(gateway, timeout, every, metrics_host, metrics_port)
    with fail_clearly():
        good = canary.canary(photos, watch, once=once, min_recall=min_recall)
    raise typer.Exit(0 if good or not once else 1)


@shards_app.callback(invoke_without_command=True)
def _shards(context: typer.Context, search: Search = SEARCH) -> None:
    """Show the shards: what each holds of which model, how fast it answers, and what is being moved."""
    if context.invoked_subcommand is not None:
        return
    with fail_clearly():
        answering = shards.show(search)
    raise typer.Exit(0 if answering else 3)


@shards_app.command("verify")
def _verify(
    repair: Annotated[bool, typer.Option("--repair", help="Put it right, from the catalogue's rows.")] = False,
    search: Search = SEARCH,
    catalog: Catalog = CATALOG,
) -> None:
    """Compare the shards with the catalogue: every picture is where it belongs, once, and no other is there."""
    with fail_clearly():
        right = shards.verify(search, catalog, repairing=repair)
    raise typer.Exit(0 if right else 2)


@shards_app.command("add")
def _add(
    name: Annotated[str, typer.Argument(help="Of the new shard.")],
    endpoint: Annotated[str, typer.Option(help="Where it is: http(s)://host:port of a Milvus server.")],
    categories: Annotated[str, typer.Option(help="What moves to it, separated by commas.")],
    path: Map,
) -> None:
    """Put a new shard into the map, with categories on their way to it. Then restart search, and `advance`."""
    with fail_clearly():
        shards.add(path, name, endpoint, categories.split(","))


@shards_app.command("drain")
def _drain(
    name: Annotated[str, typer.Argument(help="The shard to be emptied.")],
    to: Annotated[str, typer.Option(help="The shard that takes what it has.")],
    path: Map,
) -> None:
    """Set a shard's categories on their way to another one. Then restart search, and `advance`."""
    with fail_clearly():
        shards.drain(path, name, to)


@shards_app.command("advance")
def _advance(path: Map, search: Search = SEARCH, catalog: Catalog = CATALOG) -> None:
    """Take what is being moved to its next phase, in the map, once this one is complete. Then restart search."""
    with fail_clearly():
        shards.advance(path, search, catalog)


@app.command("coverage")
def _coverage(
    category: Annotated[str, typer.Option(help="Only this category.")] = "",
    runs: Annotated[int, typer.Option(help="At most so many of the last replay runs.", min=1)] = 20,
    draw: Annotated[Path | None, typer.Option(help="Save the curve as a PNG.")] = None,
    catalog: Catalog = CATALOG,
) -> None:
    """Show which share of the replayed scans finds a product by now, by category, run by run."""
    with fail_clearly():
        coverage.show(catalog, category=category, runs=runs, draw=draw)


@app.command("models")
def _models(
    search: Search = SEARCH,
    embedder: Annotated[str, typer.Option("--embedder", envvar="SHIWU_EMBEDDER", help="Its host:port.")] = EMBEDDER,
) -> None:
    """Show the embedder's versions, and how many pictures the shards hold of each."""
    with fail_clearly():
        models.show(search, embedder)


@keys_app.command("create")
def _create_key(
    file: KeyFile,
    scope: Annotated[list[str], typer.Option(help="scan, catalog:write or admin; may be repeated.")],
    owner: Annotated[str, typer.Option(help="Whose it is, for people.")] = "",
    days: Annotated[float | None, typer.Option(help="Until it expires. [default: never]", min=0.001)] = None,
    rate: Annotated[float | None, typer.Option(help="Calls a second. [default: the server's]", min=0.001)] = None,
    burst: Annotated[int | None, typer.Option(help="Calls after a quiet time. [default: the server's]", min=1)] = None,
    concurrency: Annotated[int | None, typer.Option(help="Calls at once. [default: the server's]", min=1)] = None,
) -> None:
    """Make a key and print it, this once."""
    with fail_clearly():
        keys.create(file, scope, owner, days=days, rate=rate, burst=burst, concurrency=concurrency)


@keys_app.command("list")
def _list_keys(file: KeyFile) -> None:
    """List the keys, by their public ids."""
    with fail_clearly():
        keys.show(file)


@keys_app.command("revoke")
def _revoke_key(key_id: Annotated[str, typer.Argument(help="As `list` shows it.")], file: KeyFile) -> None:
    """Revoke a key."""
    with fail_clearly():
        keys.revoke(file, key_id)


def main() -> None:
    """The console script."""
    app()

"""`shiwu status`: which services serve, and what the shards hold."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from shiwu.cli.connection import connected
from shiwu.cli.mesh import SERVICES, serving
from shiwu.v1 import search_pb2
from shiwu.v1.search_pb2_grpc import SearchServiceStub


def status(host: str, port: int, search: str) -> bool:
    """Prints a table of services and one of shards; true when every service serves."""
    console = Console()
    services = Table("service", "address", "", title="services", title_justify="left")
    states = []
    for i, service in enumerate(SERVICES):
        target = f"{host}:{port + i}"
        states.append(serving(target))
        services.add_row(service, target, "[green]serving[/]" if states[-1] else "[red]not serving[/]")
    console.print(services)
    if states[SERVICES.index("search")]:
        _print_shards(console, search)
    return all(states)


def _print_shards(console: Console, target: str) -> None:
    with connected(target) as channel:
        answer = SearchServiceStub(channel).DescribeShards(search_pb2.DescribeShardsRequest(), timeout=10)
    shards = Table("shard", "categories", "endpoint", "model", "pictures", "", title="shards", title_justify="left")
    for shard in answer.shards:
        categories = ", ".join(shard.categories)
        if shard.HasField("error"):
            shards.add_row(shard.name, categories, shard.endpoint, "", "", f"[red]{shard.error.message}[/]")
        elif not shard.indexes:
            shards.add_row(shard.name, categories, shard.endpoint, "", "0", "empty")
        for index in shard.indexes:
            state = "[green]serving[/]" if index.serving else "built beside"
            shards.add_row(shard.name, categories, shard.endpoint, index.model, f"{index.images:,}", state)
    console.print(shards)

"""`shiwu status`: which services serve, and what the shards hold."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from shiwu.cli import shards
from shiwu.cli.mesh import SERVICES, serving


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
        shards.show(search)
    return all(states)

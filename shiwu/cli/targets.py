"""The options that say where services are."""

from __future__ import annotations

from typing import Annotated

import typer

Gateway = Annotated[str, typer.Option("--gateway", envvar="SHIWU_GATEWAY", help="host:port of the gateway.")]
Catalog = Annotated[
    str, typer.Option("--catalog", "--target", envvar="SHIWU_CATALOG", help="host:port of the catalog.")
]
Search = Annotated[
    str, typer.Option("--search", envvar="SHIWU_SEARCH", help="host:port of search; all servers behind it are asked.")
]

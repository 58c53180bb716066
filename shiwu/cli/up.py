"""`shiwu up`: the whole mesh in one terminal."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

import typer
from rich.console import Console

from shiwu.cli.mesh import SERVICES, Layout, Mesh, MeshError

_RESTART_SECONDS = 1.0


class _InterruptError(Exception):
    """Ctrl-C or SIGTERM."""


def up(layout: Layout) -> None:
    """Starts the mesh, restarts what ends by itself, and stops it on Ctrl-C or SIGTERM."""
    console = Console(stderr=True)
    _raise_on_signals()
    try:
        with Mesh(layout) as mesh:
            with console.status("starting"):
                mesh.wait_ready(on_ready=lambda service: console.print(f"  {service} is ready", style="dim"))
            console.print(f"[bold green]shiwu is up[/]: gateway at {layout.target('gateway')}, {_others(layout)}")
            console.print(f"stores and logs are in {layout.home}; Ctrl-C stops")
            _watch(mesh, console)
    except _InterruptError:
        console.print("stopped")
    except MeshError as error:
        console.print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(3) from error


def _others(layout: Layout) -> str:
    return ", ".join(f"{service} :{layout.target(service).rsplit(':', 1)[1]}" for service in SERVICES[1:])


def _watch(mesh: Mesh, console: Console) -> None:
    while True:
        for service in mesh.ended():
            console.print(f"[yellow]{service} ended; starting it again[/] (see {mesh.log(service)})")
            time.sleep(_RESTART_SECONDS)
            mesh.start(service)
        time.sleep(0.2)


def _raise_on_signals() -> None:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        # Once: a second Ctrl-C while the services drain must not leave them behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        sys.stderr.write("\n")
        raise _InterruptError

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)

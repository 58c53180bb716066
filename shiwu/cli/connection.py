"""How the command reaches the services, and how it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
import typer
from rich.console import Console

GATEWAY: Final = "127.0.0.1:50050"
EMBEDDER: Final = "127.0.0.1:50052"
SEARCH: Final = "127.0.0.1:50054"
CATALOG: Final = "127.0.0.1:50055"

_MAX_MESSAGE = 64 * 1024 * 1024

_WRONG_INPUT, _NO_ANSWER, _OTHER = 2, 3, 4
_EXIT_CODES: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: _WRONG_INPUT,
    grpc.StatusCode.NOT_FOUND: _WRONG_INPUT,
    grpc.StatusCode.ALREADY_EXISTS: _WRONG_INPUT,
    grpc.StatusCode.FAILED_PRECONDITION: _WRONG_INPUT,
    grpc.StatusCode.UNAVAILABLE: _NO_ANSWER,
    grpc.StatusCode.DEADLINE_EXCEEDED: _NO_ANSWER,
    grpc.StatusCode.RESOURCE_EXHAUSTED: _NO_ANSWER,
}


class InputError(Exception):
    """The command line or a file that it names is wrong."""


@contextmanager
def connected(target: str) -> Iterator[grpc.Channel]:
    """A plain channel to `target`, closed at the end."""
    options = [("grpc.max_receive_message_length", _MAX_MESSAGE), ("grpc.max_send_message_length", _MAX_MESSAGE)]
    with grpc.insecure_channel(target, options=options) as channel:
        yield channel


@contextmanager
def fail_clearly() -> Iterator[None]:
    """Ends the command with one clear line and the right exit code instead of a traceback."""
    try:
        yield
    except InputError as error:
        _end(str(error), _WRONG_INPUT)
    except grpc.RpcError as error:
        code, details = error.code(), error.details()
        hint = " Is the mesh up? `shiwu up` starts it." if code is grpc.StatusCode.UNAVAILABLE else ""
        _end(f"{code.name}: {details}{hint}", _EXIT_CODES.get(code, _OTHER))


def _end(message: str, code: int) -> None:
    Console(file=sys.stderr, stderr=True).print(message, style="red", highlight=False, markup=False)
    raise typer.Exit(code)

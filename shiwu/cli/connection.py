"""How the command reaches the services, and how it fails."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import typer
from pydantic import ValidationError
from rich.console import Console

from shiwu.chassis.api_keys import KeyFileError
from shiwu.chassis.settings import ClientTls
from shiwu.chassis.tls import TlsError, client_credentials

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
    grpc.StatusCode.UNAUTHENTICATED: _WRONG_INPUT,
    grpc.StatusCode.PERMISSION_DENIED: _WRONG_INPUT,
    grpc.StatusCode.UNAVAILABLE: _NO_ANSWER,
    grpc.StatusCode.DEADLINE_EXCEEDED: _NO_ANSWER,
    grpc.StatusCode.RESOURCE_EXHAUSTED: _NO_ANSWER,
}


class InputError(Exception):
    """The command line or a file that it names is wrong."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the command shows to the services, and how it tells that they are the right ones."""

    key: str | None = None
    """API key or token."""
    ca: Path | None = None
    """TLS, with a server of this CA; unset: no TLS."""
    certificate: Path | None = None
    certificate_key: Path | None = None
    server_name: str | None = None


_NONE: Final = Credentials()
credentials: ContextVar[Credentials] = ContextVar("credentials", default=_NONE)


@contextmanager
def connected(target: str) -> Iterator[grpc.Channel]:
    """A channel to `target` with the command's credentials, closed at the end. Raises InputError."""
    shown = credentials.get()
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", _MAX_MESSAGE),
        ("grpc.max_send_message_length", _MAX_MESSAGE),
    ]
    if shown.server_name is not None:
        options.append(("grpc.ssl_target_name_override", shown.server_name))
    with _opened(target, shown, options) as channel:
        yield channel if shown.key is None else grpc.intercept_channel(channel, _Bearer(shown.key))


def _opened(target: str, shown: Credentials, options: list[tuple[str, Any]]) -> grpc.Channel:
    if shown.ca is None:
        if shown.key is not None and not _is_this_machine(target):
            msg = f"the key would travel to {target} in the clear; name the CA of its certificate with --ca"
            raise InputError(msg)
        return grpc.insecure_channel(target, options=options)
    try:
        tls = ClientTls(
            ca=shown.ca, certificate=shown.certificate, key=shown.certificate_key, server_name=shown.server_name
        )
        return grpc.secure_channel(target, client_credentials(tls), options=options)
    except ValidationError as error:
        msg = "expected --cert and --cert-key together, and --ca with any of the others"
        raise InputError(msg) from error
    except TlsError as error:
        raise InputError(str(error)) from error


def _is_this_machine(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    try:
        return target.startswith("unix:") or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the key to every call. (gRPC's own call credentials refuse channels without TLS, this machine's too.)"""

    def __init__(self, key: str) -> None:
        self._header = ("authorization", f"Bearer {key}")

    def _add(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), self._header)
        return continuation(details._replace(metadata=metadata), request)

    # One and the same for all kinds, which the stubs type each for itself.
    intercept_unary_unary = intercept_unary_stream = _add  # type: ignore[assignment]
    intercept_stream_unary = intercept_stream_stream = _add  # type: ignore[assignment]


@contextmanager
def fail_clearly() -> Iterator[None]:
    """Ends the command with one clear line and the right exit code instead of a traceback."""
    try:
        yield
    except (InputError, KeyFileError) as error:
        _end(str(error), _WRONG_INPUT)
    except grpc.RpcError as error:
        code, details = error.code(), error.details()
        hint = " Is the mesh up? `shiwu up` starts it." if code is grpc.StatusCode.UNAVAILABLE else ""
        hint = " --key or SHIWU_KEY names the key." if code is grpc.StatusCode.UNAUTHENTICATED else hint
        _end(f"{code.name}: {details}{hint}", _EXIT_CODES.get(code, _OTHER))


def _end(message: str, code: int) -> None:
    Console(file=sys.stderr, stderr=True).print(message, style="red", highlight=False, markup=False)
    raise typer.Exit(code)

"""A service with all four kinds of RPC on plain bytes; the tests serve it, and run it as a process of its own.

The request says what to do: a number of seconds to wait, or the name of an error to raise. The answer is the pid.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Literal

import grpc
from pydantic_settings import SettingsConfigDict

from shiwu.chassis import errors
from shiwu.chassis.process import run, until_signalled
from shiwu.chassis.server import running
from shiwu.chassis.settings import ClientSettings, ServerSettings, ServiceSettings

NAME = "test.Echo"
UNARY, SERVER_STREAM, CLIENT_STREAM, BIDI_STREAM = (
    f"/{NAME}/{method}" for method in ("Unary", "ServerStream", "ClientStream", "BidiStream")
)
ERRORS = {
    b"invalid": errors.InvalidInputError("is not so", field="query.top_k"),
    b"overloaded": errors.OverloadedError("too much", retry_after=1.5),
    b"bug": KeyError("a secret"),
}


async def do(request: bytes) -> bytes:
    if request in ERRORS:
        raise ERRORS[request]
    if request != b"0":
        await asyncio.sleep(float(request))
    return str(os.getpid()).encode()


async def unary(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return await do(request)


async def server_stream(request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    yield b"first"
    yield await do(request)


async def client_stream(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
    answer = b""
    async for request in requests:
        answer = await do(request)
    return answer


async def bidi_stream(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    async for request in requests:
        yield await do(request)


def add_echo(server: grpc.aio.Server) -> None:
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "BidiStream": grpc.stream_stream_rpc_method_handler(bidi_stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="ECHO_")

    server: ServerSettings = ServerSettings(port=0)
    peer: ClientSettings = ClientSettings(target="127.0.0.1:1")
    names: tuple[str, ...] = ()
    load: Literal["at once", "awaiting", "blocking", "in a thread", "failing"] = "at once"


async def load(how: str) -> None:
    sys.stdout.write("loading\n")
    sys.stdout.flush()
    if how == "awaiting":
        await asyncio.sleep(60)
    elif how == "blocking":
        time.sleep(60)  # noqa: ASYNC251 (which is the point)
    elif how == "in a thread":
        await asyncio.to_thread(time.sleep, 60)
    elif how == "failing":
        raise OSError("no such model")


async def main(settings: Settings) -> None:
    await load(settings.load)
    async with running(NAME, add_echo, settings.server) as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await until_signalled()


if __name__ == "__main__":
    run(main, Settings, "echo")

"""What clients of each kind of RPC see of the errors that services raise, and what they do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from shiwu.chassis import errors
from shiwu.chassis.channel import connect, foreign_errors
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from tests.unit.chassis.conftest import Log
from tests.unit.chassis.echo_service import BIDI_STREAM, CLIENT_STREAM, ERRORS, NAME, SERVER_STREAM, UNARY
from tests.unit.chassis.serving import echo


async def unary(channel: grpc.aio.Channel, request: bytes) -> bytes:
    return await channel.unary_unary(UNARY)(request)


async def server_stream(channel: grpc.aio.Channel, request: bytes) -> bytes:
    return [response async for response in channel.unary_stream(SERVER_STREAM)(request)][-1]


async def client_stream(channel: grpc.aio.Channel, request: bytes) -> bytes:
    return await channel.stream_unary(CLIENT_STREAM)(iter([b"0", request]))


async def bidi_stream(channel: grpc.aio.Channel, request: bytes) -> bytes:
    return [response async for response in channel.stream_stream(BIDI_STREAM)(iter([b"0", request]))][-1]


KINDS = [unary, server_stream, client_stream, bidi_stream]
Ask = Callable[[grpc.aio.Channel, bytes], Any]


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def details(error: grpc.aio.AioRpcError, kind: Any) -> list[Any]:
    status = rpc_status.from_call(error)
    assert status is not None
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


@pytest.mark.parametrize("ask", KINDS)
async def test_every_kind_of_rpc_answers(ask: Ask) -> None:
    async with echo() as channel:
        assert (await ask(channel, b"0")).isdigit()


@pytest.mark.parametrize("ask", KINDS)
async def test_invalid_input_names_the_field(ask: Ask) -> None:
    async with echo() as channel:
        error = await failure(ask(channel, b"invalid"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "query.top_k: is not so"
    [request] = details(error, BadRequest)
    assert [violation.field for violation in request.field_violations] == ["query.top_k"]
    [info] = details(error, ErrorInfo)
    assert (info.reason, info.domain) == ("INVALID_ARGUMENT", NAME)


@pytest.mark.parametrize("ask", KINDS)
async def test_overload_says_when_to_come_back(ask: Ask) -> None:
    async with echo() as channel:
        error = await failure(ask(channel, b"overloaded"))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    [retry] = details(error, RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1500


@pytest.mark.parametrize("ask", KINDS)
async def test_a_bug_is_internal_and_tells_the_client_its_request_id_only(ask: Ask, log: Log) -> None:
    async with echo() as channel:
        error = await failure(ask(channel, b"bug"))
    assert error.code() is grpc.StatusCode.INTERNAL
    request_id = dict(error.trailing_metadata())["x-request-id"]
    assert error.details() == f"internal error; the log has more under request id {request_id}"
    [entry] = [entry for entry in log() if entry["event"] == "call"]
    assert (entry["level"], entry["request_id"]) == ("error", request_id)
    assert "KeyError: 'a secret'" in entry["exception"]


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.InvalidInputError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.NotFoundError("x"), grpc.StatusCode.NOT_FOUND),
        (errors.AlreadyExistsError("x"), grpc.StatusCode.ALREADY_EXISTS),
        (errors.PreconditionError("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.OverloadedError("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.UnavailableError("x"), grpc.StatusCode.UNAVAILABLE),
        (errors.DeadlineError("x"), grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
async def test_errors_cross_the_wire(
    raised: errors.ServiceError, code: grpc.StatusCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ERRORS, b"x", raised)
    async with echo() as channel:
        assert (await failure(unary(channel, b"x"))).code() is code
        with pytest.raises(errors.ServiceError) as caught, foreign_errors("part"):
            await unary(channel, b"x")
    assert type(caught.value) is type(raised)
    assert str(caught.value) == "part: x"


async def test_a_subclass_of_an_error_is_that_error_to_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoSuchShardError(errors.NotFoundError):
        pass

    monkeypatch.setitem(ERRORS, b"x", NoSuchShardError("x"))
    async with echo() as channel:
        assert (await failure(unary(channel, b"x"))).code() is grpc.StatusCode.NOT_FOUND


async def test_foreign_overload_keeps_its_delay() -> None:
    async with echo() as channel:
        with pytest.raises(errors.OverloadedError) as caught, foreign_errors("part"):
            await unary(channel, b"overloaded")
    assert caught.value.retry_after == 1.5


async def test_a_peers_bug_makes_it_unavailable() -> None:
    async with echo() as channel:
        with pytest.raises(errors.UnavailableError, match="part: internal error"), foreign_errors("part"):
            await server_stream(channel, b"bug")


async def test_a_peer_that_is_not_there_is_unavailable() -> None:
    async with connect("127.0.0.1:1") as channel:
        with pytest.raises(errors.UnavailableError, match=r"part: .*[Cc]onnection refused"), foreign_errors("part"):
            await unary(channel, b"0")


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "识物" * 50_000, "🧭" * 5_000, "\ud800 lone surrogate", "tab\tnew\nline"]
)
async def test_any_text_arrives_if_shortened(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ERRORS, b"x", errors.InvalidInputError(text, field=text))
    async with echo() as channel:
        error = await failure(unary(channel, b"x"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    [request] = details(error, BadRequest)
    assert request.field_violations[0].field[:5] == text.encode("utf-8", "replace").decode()[:5]


async def aborting(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    await context.abort(grpc.StatusCode.DATA_LOSS, "my own words")
    return b""


def not_async(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    raise KeyError("a secret")


async def writing(_request: bytes, context: grpc.aio.ServicerContext) -> None:
    await context.write(b"first")
    raise errors.NotFoundError("no second")


def adding(kind: Callable[..., Any], behaviour: Any) -> Callable[[grpc.aio.Server], None]:
    handler = grpc.method_handlers_generic_handler(NAME, {"Method": kind(behaviour)})
    return lambda server: server.add_generic_rpc_handlers((handler,))


async def test_a_service_may_abort_for_itself() -> None:
    add = adding(grpc.unary_unary_rpc_method_handler, aborting)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        error = await failure(channel.unary_unary(f"/{NAME}/Method")(b""))
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "my own words")
    assert "x-request-id" in dict(error.trailing_metadata())


async def test_a_method_that_is_not_async_is_not_implemented() -> None:
    add = adding(grpc.unary_unary_rpc_method_handler, not_async)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        error = await failure(channel.unary_unary(f"/{NAME}/Method")(b""))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNIMPLEMENTED, "this method is not implemented")


async def test_a_stream_may_be_written_by_hand() -> None:
    add = adding(grpc.unary_stream_rpc_method_handler, writing)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        call = channel.unary_stream(f"/{NAME}/Method")(b"")
        assert await call.read() == b"first"
        assert (await failure(call.read())).code() is grpc.StatusCode.NOT_FOUND


async def test_an_unknown_method_is_not_implemented() -> None:
    async with echo() as channel:
        error = await failure(channel.unary_unary(f"/{NAME}/Nothing")(b""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_call_that_awaits_something_cancelled_is_answered() -> None:
    async def method(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task
        return b""

    add = adding(grpc.unary_unary_rpc_method_handler, method)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        error = await failure(channel.unary_unary(f"/{NAME}/Method")(b"", timeout=5.0))
    assert error.code() is grpc.StatusCode.INTERNAL


async def test_cancelling_ends_the_servers_work_and_closes_its_generator() -> None:
    ended = asyncio.Event()

    async def endless(_request: bytes, _context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    add = adding(grpc.unary_stream_rpc_method_handler, endless)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        call = channel.unary_stream(f"/{NAME}/Method")(b"")
        assert await call.read() == b"more"
        call.cancel()
        async with asyncio.timeout(5):
            await ended.wait()

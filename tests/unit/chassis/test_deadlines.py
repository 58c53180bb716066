"""The caller's deadline, on the way in and on every way out."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import Any

import grpc
import pytest

from shiwu.chassis import deadlines
from shiwu.chassis.calls import Call, current_call
from shiwu.chassis.channel import connect
from shiwu.chassis.deadlines import MARGIN, budget, cut, remaining
from shiwu.chassis.errors import DeadlineError
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from tests.unit.chassis.echo_service import NAME
from tests.unit.chassis.serving import echo
from tests.unit.chassis.test_errors import KINDS, Ask, adding, failure

INTERCEPTORS = {
    "intercept_unary_unary": grpc.aio.UnaryUnaryClientInterceptor,
    "intercept_unary_stream": grpc.aio.UnaryStreamClientInterceptor,
    "intercept_stream_unary": grpc.aio.StreamUnaryClientInterceptor,
    "intercept_stream_stream": grpc.aio.StreamStreamClientInterceptor,
}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The timeouts of the calls on channels that are opened from now on, as gRPC is given them."""
    timeouts: list[float | None] = []

    async def note(_self: object, start: Any, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        timeouts.append(details.timeout)
        return await start(details, request)

    noting = [type("Noting", (kind,), {name: note})() for name, kind in INTERCEPTORS.items()]
    open_channel = functools.partial(grpc.aio.insecure_channel, interceptors=noting)
    monkeypatch.setattr(grpc.aio, "insecure_channel", open_channel)
    return timeouts


def serve_until(seconds: float | None) -> None:
    deadline = None if seconds is None else time.monotonic() + seconds
    current_call.set(Call("/a/b", "id", "0" * 32, deadline))


def test_outside_a_call_there_is_no_deadline() -> None:
    assert remaining() is None
    assert budget(3.0) == 3.0
    assert cut(None) is None


def test_a_budget_is_the_shorter_of_limit_and_what_is_left_less_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "remaining", lambda: 5.0)
    assert budget(0.5) == 0.5
    assert budget(9.0) == 5.0 - MARGIN
    assert cut(None) == 5.0 - MARGIN
    assert cut(0.2) == 0.2


def test_a_short_deadline_is_not_all_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "remaining", lambda: MARGIN)
    assert budget(9.0) == pytest.approx(0.9 * MARGIN)


async def test_a_budget_of_nothing_is_an_error() -> None:
    serve_until(-0.1)
    with pytest.raises(DeadlineError):
        budget(1.0)


async def test_threads_of_a_call_know_its_deadline() -> None:
    serve_until(1.0)
    assert await asyncio.to_thread(remaining) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("ask", KINDS)
async def test_calls_are_given_less_than_the_call_being_served_has_left(ask: Ask, given: list[float | None]) -> None:
    async with echo() as channel:
        serve_until(0.3)
        start = time.perf_counter()
        error = await failure(ask(channel, b"10"))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.perf_counter() - start < 5
    [timeout] = given  # how much later gRPC ends the call is up to the machine's timers
    assert timeout is not None
    assert 0.2 < timeout <= 0.9 * 0.3


async def test_no_call_goes_out_after_the_deadline() -> None:
    async with echo() as channel:
        serve_until(-0.001)
        with pytest.raises(DeadlineError):
            await KINDS[0](channel, b"0")


async def test_the_deadline_reaches_the_servicer() -> None:
    seen: list[float | None] = []

    async def method(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        seen.append(remaining())
        return b""

    add = adding(grpc.unary_unary_rpc_method_handler, method)
    async with running(NAME, add, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"/{NAME}/Method")
        await call(b"", timeout=5.0)
        await call(b"")
    assert seen[0] == pytest.approx(5.0, abs=0.5)
    assert seen[1] is None


async def test_the_work_of_a_call_that_arrives_too_late_is_not_done() -> None:
    worked: list[bytes] = []

    async def method(request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        worked.append(request)
        return b""

    def ask_from_elsewhere(port: int) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(f"/{NAME}/Method")
            call(b"in time", timeout=5.0)
            warm.set()
            stalled.wait()
            with pytest.raises(grpc.RpcError) as caught:
                call(b"too late", timeout=0.1)
            codes.append(caught.value.code())

    warm, stalled, codes = threading.Event(), threading.Event(), []
    add = adding(grpc.unary_unary_rpc_method_handler, method)
    async with running(NAME, add, ServerSettings(port=0)) as port:
        client = asyncio.create_task(asyncio.to_thread(ask_from_elsewhere, port))
        assert await asyncio.to_thread(warm.wait, 10)
        stalled.set()
        time.sleep(0.4)  # noqa: ASYNC251 (the server's loop is busy with something else)
        await client
        await asyncio.sleep(0.1)
    assert codes == [grpc.StatusCode.DEADLINE_EXCEEDED]
    assert worked == [b"in time"]

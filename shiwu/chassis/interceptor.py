"""What happens around every call that a server answers, in one interceptor: see docs/decisions/0002."""

from __future__ import annotations

import asyncio
import inspect
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any, TypeAlias, cast

import grpc
import structlog
from google.protobuf.message import DecodeError
from opentelemetry.trace import Span, format_trace_id

from shiwu.chassis.access import Access, current_caller
from shiwu.chassis.audit import AuditLog
from shiwu.chassis.calls import Call, current_call
from shiwu.chassis.errors import DeadlineError, InvalidInputError, OverloadedError, ServiceError
from shiwu.chassis.metrics import MethodMetrics
from shiwu.chassis.statuses import DETAILS_KEY, to_status
from shiwu.chassis.tls import identities
from shiwu.chassis.tracing import end_span, start_span

REQUEST_ID = "x-request-id"
_SANE_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
_INFRASTRUCTURE = ("/grpc.health.", "/grpc.reflection.")
_KINDS: dict[tuple[bool, bool], tuple[str, Callable[..., grpc.RpcMethodHandler[Any, Any]]]] = {
    (False, False): ("unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("server_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("client_stream", grpc.stream_unary_rpc_method_handler),
    (True, True): ("bidi_stream", grpc.stream_stream_rpc_method_handler),
}
_SERVER_FAULTS = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS"})
_WORTH_A_WARNING = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "PERMISSION_DENIED"}
)
_AUTHORIZATION = "authorization"
_OPEN: AbstractContextManager[None] = nullcontext()

_log = structlog.get_logger()
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Context = grpc.aio.ServicerContext[Any, Any]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Ids, deadline, access, errors, metrics, trace, log and audit of every call.

    Health and reflection pass untouched.
    """

    def __init__(self, max_concurrent: int, access: Access | None = None, audit: AuditLog | None = None) -> None:
        """max_concurrent: calls served at once; more are refused with OverloadedError. access: None: open to all."""
        self._max_concurrent = max_concurrent
        self._access = access
        self._audit = audit
        self._in_flight = 0
        self._handlers: dict[str, _Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is None or method.startswith(_INFRASTRUCTURE):
                return handler
            handler = self._handlers[method] = self._wrapped(method, handler)
        return handler

    def _wrapped(self, method: str, handler: _Handler) -> _Handler:
        kind, make_handler = _KINDS[handler.request_streaming, handler.response_streaming]
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        answer = _answering(behaviour)
        audit = self._audit if self._audit is not None and self._audit.covers(method) else None
        decode = _decoding(handler)
        metrics = MethodMetrics(kind, method)

        # A coroutine also for streams of answers, which it writes itself: cancellation then surfaces here and now,
        # not when an abandoned generator is collected.
        async def respond(request: Any, context: _Context) -> Any:
            start = time.perf_counter()
            call, span, authorization = _begin(method, context)
            metrics.started()
            self._in_flight += 1
            failure: BaseException | None = None
            entry = None if audit is None else audit.entry(method, context.peer())
            response = None
            try:
                self._admit(call)
                with await self._entered(method, authorization, context):
                    message = decode(request)
                    if entry is not None:
                        entry.begin(message)
                    response = await answer(message, context)
                    return response
            except BaseException as error:
                failure = error
                await _abort(error, call, context)
                raise
            finally:
                self._in_flight -= 1
                code = _code(failure, call, context)
                seconds = time.perf_counter() - start
                metrics.handled(code, seconds)
                end_span(span, code, failed=code in _SERVER_FAULTS)
                if entry is not None:
                    entry.end(code, response)
                _log_call(code, seconds, failure)

        return make_handler(
            respond,
            request_deserializer=None,  # what strangers send is not even read
            response_serializer=handler.response_serializer,
        )

    def _admit(self, call: Call) -> None:
        if call.deadline is not None and call.deadline <= time.monotonic():
            msg = "the deadline had passed when the call arrived"
            raise DeadlineError(msg)
        if self._in_flight > self._max_concurrent:
            msg = f"{self._max_concurrent} calls are already being served"
            raise OverloadedError(msg, retry_after=1.0)

    async def _entered(
        self, method: str, authorization: str | bytes | None, context: _Context
    ) -> AbstractContextManager[None]:
        if self._access is None:
            return _OPEN
        names = identities(context.auth_context()) if authorization is None else ()  # type: ignore[arg-type]
        return await self._access.enter(method, authorization, names)


def _answering(behaviour: Any) -> Callable[[Any, _Context], Awaitable[Any]]:
    """The servicer's method, whichever way it is written, as a coroutine."""
    if inspect.iscoroutinefunction(behaviour):
        return cast("Callable[[Any, _Context], Awaitable[Any]]", behaviour)
    if inspect.isasyncgenfunction(behaviour):

        async def stream(request: Any, context: _Context) -> None:
            responses: AsyncIterator[Any] = behaviour(request, context)
            async with aclosing(responses):  # type: ignore[type-var]
                async for response in responses:
                    await context.write(response)

        return stream

    async def refuse(_request: Any, context: _Context) -> None:
        # Servicers are async; what is not is the generated base class's method, which nobody overrode.
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this method is not implemented")

    return refuse


def _decoding(handler: _Handler) -> Callable[[Any], Any]:
    """Bytes, or a stream of them, to messages. What is no message is the caller's mistake, not ours."""

    def decode(data: bytes) -> Any:
        try:
            return handler.request_deserializer(data) if handler.request_deserializer else data
        except DecodeError as error:
            msg = "the request is not a message of the method's type"
            raise InvalidInputError(msg) from error

    async def decode_all(requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for data in requests:
            yield decode(data)

    return decode_all if handler.request_streaming else decode


def _begin(method: str, context: _Context) -> tuple[Call, Span, str | bytes | None]:
    metadata = dict(context.invocation_metadata() or ())
    span = start_span(method, metadata)
    given = metadata.get(REQUEST_ID)
    request_id = given if isinstance(given, str) and _SANE_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
    left = context.time_remaining()
    call = Call(
        method=method,
        request_id=request_id,
        trace_id=format_trace_id(span.get_span_context().trace_id),
        deadline=None if left is None else time.monotonic() + left,
    )
    current_call.set(call)
    context.set_trailing_metadata(((REQUEST_ID, request_id),))
    return call, span, metadata.get(_AUTHORIZATION)


async def _abort(error: BaseException, call: Call, context: _Context) -> None:
    """Tells the client of the error; returns if it needs no telling: the call aborted itself or was cancelled."""
    if isinstance(error, grpc.aio.AbortError | KeyboardInterrupt | SystemExit) or _was_cancelled(error):
        return
    trailing = tuple(context.trailing_metadata())
    if not isinstance(error, ServiceError):
        text = f"internal error; the log has more under request id {call.request_id}"
        await context.abort(grpc.StatusCode.INTERNAL, text, trailing)
    code, status = to_status(error, call.method.strip("/").split("/")[0])
    await context.abort(code, status.message, (*trailing, (DETAILS_KEY, status.SerializeToString())))


def _was_cancelled(error: BaseException | None) -> bool:
    """Whether the call itself was cancelled; otherwise it awaited something that was, and would stay unanswered."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _code(failure: BaseException | None, call: Call, context: _Context) -> str:
    if _was_cancelled(failure):
        late = call.deadline is not None and call.deadline <= time.monotonic()
        return "DEADLINE_EXCEEDED" if late else "CANCELLED"
    code = context.code()
    if code is None:
        return "OK" if failure is None else "UNKNOWN"
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"


def _log_call(code: str, seconds: float, failure: BaseException | None) -> None:
    fields: dict[str, Any] = {"code": code, "milliseconds": round(seconds * 1000, 2)}
    if isinstance(failure, ServiceError):
        fields["error"] = str(failure)
    if (caller := current_caller.get()) is not None:
        fields["caller"] = caller.id
    if code in _SERVER_FAULTS:
        _log.error("call", **fields, exc_info=failure)
    elif code in _WORTH_A_WARNING:
        _log.warning("call", **fields)
    else:
        _log.info("call", **fields)

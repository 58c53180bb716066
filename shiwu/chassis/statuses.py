"""The one table between the errors that services raise and gRPC's status codes, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from shiwu.chassis.errors import (
    AlreadyExistsError,
    DeadlineError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
)

DETAILS_KEY = "grpc-status-details-bin"
"""Metadata that carries google.rpc.Status, by gRPC's convention."""

# Trailing metadata is limited to 8 KiB, and a message travels in it three times, percent-encoded once.
_MAX_TEXT_BYTES = 1000
_MAX_FIELD_BYTES = 200

_CODES: dict[type[ServiceError], grpc.StatusCode] = {
    InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
}
# A peer that does not let us in is our fault, not our caller's: to them it is unavailable.
_OURS = (UnauthenticatedError, PermissionDeniedError)
_ERRORS = {code: error for error, code in _CODES.items() if error not in _OURS}


def to_status(error: ServiceError, domain: str) -> tuple[grpc.StatusCode, Status]:
    """The status code of an error, and google.rpc.Status with its details.

    domain: the service that reports it, for ErrorInfo.
    """
    kind = next(kind for kind in type(error).__mro__ if kind in _CODES or kind is ServiceError)
    code = _CODES.get(kind, grpc.StatusCode.UNKNOWN)
    message = _shortened(str(error), _MAX_TEXT_BYTES)
    details: list[Message] = [ErrorInfo(reason=code.name, domain=domain)]
    if isinstance(error, InvalidInputError) and error.field:
        field = _shortened(error.field, _MAX_FIELD_BYTES)
        violation = BadRequest.FieldViolation(field=field, description=message)
        details.append(BadRequest(field_violations=[violation]))
    if isinstance(error, OverloadedError) and error.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after * 1000))
        details.append(RetryInfo(retry_delay=delay))
    return code, Status(code=code.value[0], message=message, details=[_packed(detail) for detail in details])


def to_error(error: grpc.aio.AioRpcError, part: str) -> ServiceError:
    """The error that a failed call to `part` means for the caller; its message begins with the part.

    What has no counterpart, a peer's bug for one, makes the part unavailable: the caller can do no more about it.
    """
    kind = _ERRORS.get(error.code(), UnavailableError)
    message = f"{part}: {error.details() or error.code().name}"
    if kind is OverloadedError:
        return OverloadedError(message, retry_after=_retry_after(error))
    return kind(message)


@contextmanager
def foreign_errors(part: str) -> Iterator[None]:
    """Turns the gRPC errors of calls to another service into `ServiceError`s whose message begins with `part`."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise to_error(error, part) from error


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return _retry_delay(value)
    return None


def _retry_delay(serialized: bytes) -> float | None:
    info = RetryInfo()
    try:
        for detail in Status.FromString(serialized).details:
            if detail.Unpack(info):
                return float(info.retry_delay.ToMilliseconds() / 1000)
    except DecodeError:  # a peer's, or a proxy's, nonsense: the status itself still says what happened
        return None
    return None


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed


def _shortened(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= limit else data[: limit - 3].decode("utf-8", "ignore") + "…"

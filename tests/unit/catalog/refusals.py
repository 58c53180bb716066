"""Calls that a service must refuse."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


async def refused(call: Awaitable[Any], code: str, *, field: str | None = None) -> str:
    """The message of the refusal with this status code; field: the one that its details name."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code().name == code, caught.value.details()
    if field is not None:
        assert field_of(caught.value) == field, caught.value.details()
    return caught.value.details() or ""


def field_of(error: grpc.aio.AioRpcError) -> str:
    """The field that the error's details name."""
    status = rpc_status.from_call(error)
    assert status is not None
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            return bad.field_violations[0].field
    return ""

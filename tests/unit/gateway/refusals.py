"""Calls that the gateway must refuse."""

from __future__ import annotations

import grpc
import pytest


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details()

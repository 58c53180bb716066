"""The gateway as a process: its start, its health, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from evaluation.processes import free_ports
from services.gateway.settings import Settings
from shiwu.chassis.server import running
from shiwu.v1 import embedder_pb2_grpc, search_pb2_grpc
from tests.unit.gateway.servers import LOCAL, EmbedderServer, SearchServer
from tests.unit.gateway.world import STOCK, World

SERVING = health_pb2.HealthCheckResponse.SERVING


async def start(environment):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway"),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def serves(port):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1.0)
        except grpc.aio.AioRpcError:
            return None
        return answer.status == SERVING


async def eventually(port, expected):
    for _ in range(200):
        if (seen := await serves(port)) is expected:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"serving is {seen}, expected {expected}")


async def test_serves_once_embedder_and_search_have_answered_and_then_whatever_is_lost(tmp_path):
    port, embedder, search = free_ports(3)
    world, ports = World(STOCK), {"EMBEDDER": embedder, "SEARCH": search}
    targets = {f"GATEWAY_{part}__TARGET": f"127.0.0.1:{own}" for part, own in ports.items()}
    gateway = await start(targets | {"GATEWAY_MODELS": str(tmp_path), "GATEWAY_SERVER__PORT": str(port)})
    try:
        await eventually(port, False)
        async with AsyncExitStack() as peers:
            for part, add, servicer in (
                ("EMBEDDER", embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, EmbedderServer(world)),
                ("SEARCH", search_pb2_grpc.add_SearchServiceServicer_to_server, SearchServer(world)),
            ):
                own = LOCAL.model_copy(update={"port": ports[part]})
                name = f"shiwu.v1.{part.title()}Service"
                await peers.enter_async_context(running(name, partial(add, servicer), own))
            await eventually(port, True)
        await asyncio.sleep(2.5)  # health is polled every second
        assert await serves(port)
    finally:
        gateway.send_signal(signal.SIGTERM)
        await asyncio.wait_for(gateway.wait(), 15)
    assert gateway.returncode == 0


async def test_a_missing_folder_of_models_ends_the_start(tmp_path):
    gateway = await start({"GATEWAY_MODELS": str(tmp_path / "none"), "GATEWAY_SERVER__PORT": "0"})
    output, _ = await asyncio.wait_for(gateway.communicate(), 30)
    assert gateway.returncode == 1
    assert b"none is not a folder" in output


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("GATEWAY_RERANK", "fancy", "rerank"),
        ("GATEWAY_RERNAK", "none", "rernak"),
        ("GATEWAY_STREAM__WINDOW", "0", "window"),
        ("GATEWAY_SEARCH_TOP_K", "1001", "search_top_k"),
        ("GATEWAY_CENTRE_SHARE", "1.5", "centre_share"),
    ],
)
def test_wrong_settings_are_named(monkeypatch, name, value, told):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=told):
        Settings()


def test_nested_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("GATEWAY_DETECTOR__TARGET", "dns:///detector:1")
    monkeypatch.setenv("GATEWAY_STREAM__IDLE_SECONDS", "5")
    settings = Settings()
    assert (settings.detector.target, settings.stream.idle_seconds, settings.stream.window) == (
        "dns:///detector:1",
        5,
        8,
    )
    assert settings.rerank is None

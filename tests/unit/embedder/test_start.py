"""The embedder as a process: it serves what it is told to, or says why it does not."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path

import grpc
import pytest

from shiwu.v1 import embedder_pb2 as pb
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceStub
from tests.unit.inference import onnx_models

ROOT = Path(__file__).parents[3]


async def start(port: int, **variables: str) -> asyncio.subprocess.Process:
    environment = {"PATH": "/usr/bin:/bin", "EMBEDDER_SERVER__PORT": str(port), **variables}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.embedder",
        env=environment,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_runs_as_a_process(tmp_path: Path) -> None:
    onnx_models.release_embedder(tmp_path / "general")
    onnx_models.release_embedder(tmp_path / "own", "embedder-own", categories=("shoes",))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await start(port, EMBEDDER_MODELS=json.dumps([str(tmp_path / "general"), str(tmp_path / "own")]))
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = EmbedderServiceStub(channel).ListModels(pb.ListModelsRequest(), timeout=30, wait_for_ready=True)
            assert [each.model for each in (await call).models] == ["embedder-small@1", "embedder-own@1"]
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@pytest.mark.parametrize(
    ("models", "code", "words"),
    [
        ('["DETECTOR"]', 1, "EMBEDDER_MODELS must name embedders"),
        ('["GONE"]', 1, "no model in"),
        ('["OWN"]', 1, "one must be for all others"),
        ("[]", 2, "EMBEDDER_MODELS"),
        ("models/embedder-lite0", 2, "EMBEDDER_"),
    ],
)
async def test_a_start_with_wrong_models_says_why(tmp_path: Path, models: str, code: int, words: str) -> None:
    onnx_models.release_detector(tmp_path / "detector")
    onnx_models.release_embedder(tmp_path / "own", categories=("shoes",))
    for word in ("DETECTOR", "GONE", "OWN"):
        models = models.replace(word, str(tmp_path / word.lower()))
    process = await start(0, EMBEDDER_MODELS=models)
    output, _ = await process.communicate()
    assert process.returncode == code
    assert words in output.decode()

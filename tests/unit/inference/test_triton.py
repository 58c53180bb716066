"""From addresses to models on Triton, without one; with one: tests/contract, tests/failure and tests/mesh."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from services.embedder.settings import Settings
from shiwu.chassis.errors import UnavailableError
from shiwu.chassis.settings import SettingsError, read_settings
from shiwu.inference.manifest import ManifestError, write_manifest
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from tests.unit.inference import onnx_models

ENDPOINT = "triton://127.0.0.1:9"
SQUARE = {"image": np.zeros((1, onnx_models.SIDE, onnx_models.SIDE, 3), np.uint8)}


@pytest.mark.parametrize(
    "address",
    [
        "triton:host:8001/m",
        "triton://host/m",
        "triton://host:8001",
        "triton://host:8001/",
        "triton://:8001/m",
        "triton://host:8001/m/0",
        "triton://host:8001/m/b1",
        "triton://host:8001/m/1/2",
        "triton://ho st:8001/m",
    ],
)
def test_malformed_addresses_are_told_what_is_expected(address: str) -> None:
    with pytest.raises(ValueError, match=r"expected triton://HOST:PORT/MODEL\[/VERSION\], versions being 1, 2, 3"):
        open_model(address)


async def test_a_release_runs_at_the_endpoint_under_its_name_and_version(tmp_path: Path) -> None:
    onnx_models.release_embedder(tmp_path)
    runner = open_model(tmp_path, RunnerOptions(endpoint=ENDPOINT))
    with pytest.raises(UnavailableError, match=r"model triton://127\.0\.0\.1:9/embedder-small/1 is not there"):
        await runner.run(SQUARE)
    await runner.close()


async def test_an_endpoint_changes_nothing_for_what_is_said_to_run_here(tmp_path: Path) -> None:
    onnx_models.release_embedder(tmp_path)
    runner = open_model(f"onnx:{tmp_path}", RunnerOptions(endpoint=ENDPOINT))
    assert (await runner.run(SQUARE))["embedding"].shape == (1, 3)
    await runner.close()


def test_the_release_is_checked_before_its_endpoint(tmp_path: Path) -> None:
    manifest = onnx_models.release_embedder(tmp_path)
    with pytest.raises(ManifestError, match="no model in"):
        open_model(tmp_path / "none", RunnerOptions(endpoint=ENDPOINT))
    write_manifest(manifest.model_copy(update={"version": "b1"}), tmp_path)
    with pytest.raises(ValueError, match=r"embedder-small/b1.*versions being 1, 2, 3"):
        open_model(tmp_path, RunnerOptions(endpoint=ENDPOINT))


@pytest.mark.parametrize("endpoint", ["host:8001", "http://host:8001", "triton://host", "triton://host:8001/m", ""])
def test_endpoints_are_of_triton_servers(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="triton://"):
        RunnerOptions(endpoint=endpoint)
    monkeypatch.setenv("EMBEDDER_RUNNER__ENDPOINT", endpoint)
    with pytest.raises(SettingsError, match="EMBEDDER_RUNNER__ENDPOINT"):
        read_settings(Settings)


def test_only_the_adapter_in_use_is_imported(tmp_path: Path) -> None:
    """Both are extras: a service without Triton needs no tritonclient, one with it no ONNX Runtime."""
    onnx_models.release_embedder(tmp_path)
    code = (
        "import asyncio, sys; from shiwu.inference.opening import open_model; "
        "from shiwu.inference.options import RunnerOptions\n"
        "async def main(): open_model(sys.argv[1], RunnerOptions(endpoint=sys.argv[2] or None))\n"
        "asyncio.run(main()); print(*({'onnxruntime', 'tritonclient'} & sys.modules.keys()))"
    )
    for endpoint, imported in (("", "onnxruntime"), (ENDPOINT, "tritonclient")):
        command = [sys.executable, "-c", code, str(tmp_path), endpoint]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == imported

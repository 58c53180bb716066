"""From addresses to runners, and what is said when there is no such model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shiwu.inference.manifest import ManifestError, read_manifest, write_manifest
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from shiwu.inference.runner import ModelError
from shiwu.inference.tensors import require_finite
from tests.unit.inference import onnx_models

SQUARE = np.full((1, onnx_models.SIDE, onnx_models.SIDE, 3), 9, np.uint8)


@pytest.mark.parametrize("address", ["{}", "onnx:{}", "onnx:{}/model.onnx"])
async def test_a_release_opens_by_each_of_its_addresses(tmp_path: Path, address: str) -> None:
    onnx_models.release_embedder(tmp_path)
    runner = open_model(address.format(tmp_path))
    assert np.allclose((await runner.run({"image": SQUARE}))["embedding"], 3**-0.5)
    await runner.close()


async def test_a_path_may_hold_a_colon(tmp_path: Path) -> None:
    onnx_models.release_embedder(tmp_path / "a:b")
    for address in (tmp_path / "a:b", str(tmp_path / "a:b")):
        await open_model(address).close()


def test_unknown_schemes_are_named() -> None:
    with pytest.raises(ValueError, match="no model scheme 'tritn' in 'tritn:host/model'; known are onnx, triton"):
        open_model("tritn:host/model")


def test_a_directory_without_a_release(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no model in .*No such file"):
        open_model(tmp_path)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("hello")
    with pytest.raises(ModelError, match=r"model\.onnx is not a model that ONNX Runtime .* can load"):
        open_model(f"onnx:{path}")
    with pytest.raises(ModelError, match=r"gone\.onnx is not a model"):
        open_model(f"onnx:{tmp_path}/gone.onnx")


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    onnx_models.release_embedder(tmp_path)
    with (tmp_path / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ManifestError, match="not the released file: sha256"):
        open_model(tmp_path)


def test_a_manifest_that_promises_another_graph_is_refused(tmp_path: Path) -> None:
    manifest = onnx_models.release_embedder(tmp_path)
    wrong = manifest.inputs[0].model_copy(update={"shape": ("batch", 64, 64, 3)})
    write_manifest(manifest.model_copy(update={"inputs": (wrong,)}), tmp_path)
    with pytest.raises(ManifestError, match=r"promises inputs .*64, 64.* has .*32, 32"):
        open_model(tmp_path)
    wrong = manifest.outputs[0].model_copy(update={"name": "vector"})
    write_manifest(manifest.model_copy(update={"outputs": (wrong,)}), tmp_path)
    with pytest.raises(ManifestError, match=r"promises outputs \['vector'\].* has \['embedding'\]"):
        open_model(tmp_path)


def test_manifests_survive_writing_and_reading(tmp_path: Path) -> None:
    for release in (onnx_models.release_embedder, onnx_models.release_detector):
        manifest = release(tmp_path / release.__name__)
        assert read_manifest(tmp_path / release.__name__) == manifest


@pytest.mark.parametrize("spin", [True, False])
async def test_threads_change_no_answer(tmp_path: Path, spin: bool) -> None:
    onnx_models.release_embedder(tmp_path)
    runner = open_model(tmp_path, RunnerOptions(threads=2, spin=spin))
    assert np.allclose((await runner.run({"image": SQUARE}))["embedding"], 3**-0.5)
    await runner.close()


def test_reading_manifests_needs_no_onnx_runtime() -> None:
    """The gateway reads manifests and runs no model: neither the package nor its memory is needed."""
    code = "import sys; import shiwu.inference.manifest, shiwu.inference.opening; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_numbers_that_are_none_are_counted() -> None:
    values = np.ones((3, 4), np.float32)
    require_finite("scores", values, "m@1")
    require_finite("scores", np.full(9, 3e38, np.float32), "m@1")  # large, but numbers
    values[1, 1], values[2, 0] = np.nan, np.inf
    with pytest.raises(ModelError, match="model m@1 gave 2 numbers in scores that are NaN or infinite"):
        require_finite("scores", values, "m@1")
    with pytest.raises(ModelError, match="gave 2 numbers"):
        require_finite("scores", np.array([np.inf, -np.inf, 1]), "m@1")

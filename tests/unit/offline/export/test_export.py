"""The whole command, on tiny models and real tools."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from offline.export import gate, to_onnx
from offline.export.__main__ import main
from offline.export.errors import ExportError
from offline.export.exporting import LEDGER, export
from offline.export.formats import Job, parts
from offline.export.pictures import choose
from offline.export.to_tensorrt import EngineOptions
from offline.training.release import file_sha256
from shiwu.inference.manifest import read_manifest
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from tests.unit.offline.export import tiny

_COUNTS = ["--pictures", "24", "--calibration", "20"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny.embedder(tmp_path / "model")
    return tmp_path / "model"


def run(model: Path, data: Path, out: Path, to: str, *more: str) -> int:
    return main([str(model), "--data", str(data), "--out", str(out), "--to", to, *_COUNTS, *more])


@pytest.mark.parametrize("release", [tiny.embedder, tiny.detector])
def test_faithful_exports_are_kept_and_measured(release, tmp_path: Path, data: Path, capsys) -> None:
    manifest = release(tmp_path / "model")
    assert run(tmp_path / "model", data, tmp_path / "out", "onnx,int8,ncnn", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == ["released", "onnx", "int8", "int8-trt", "ncnn"]
    for row in rows.values():
        assert row["milliseconds"] > 0
        assert 0 <= row["recall"]["value"] <= 1
    assert rows["onnx"]["recall"] == rows["released"]["recall"]
    ledger = json.loads((tmp_path / "out" / LEDGER).read_text())["parts"]
    files = {file for entry in ledger.values() for file in entry["files"]}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files | {LEDGER}
    for name, entry in ledger.items():
        assert entry["source"] == manifest.sha256
        assert entry["tools"]
        assert entry["gate"]["figures"] == rows[name]["gate"]
        assert all(entry["gate"]["figures"][key] >= least for key, least in entry["gate"]["limits"].items())


@pytest.mark.parametrize("release", [tiny.embedder, tiny.detector])
async def test_services_run_the_quantised_file_by_its_own_name(release, tmp_path: Path, data: Path) -> None:
    released = release(tmp_path / "model")
    assert run(tmp_path / "model", data, tmp_path / "out", "int8") == 0
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.id, manifest.file) == ("tiny-int8@1", "model.int8.onnx")
    assert manifest.preprocessing == released.preprocessing
    runner = open_model(tmp_path / "out", RunnerOptions())  # which looks whether it is what the manifest promises
    size = manifest.preprocessing.size
    outputs = await runner.run({manifest.inputs[0].name: np.zeros((2, size, size, 3), np.uint8)})
    assert all(len(output) == 2 for output in outputs.values())
    await runner.close()


def test_prints_a_table(model: Path, data: Path, tmp_path: Path, capsys) -> None:
    assert run(model, data, tmp_path / "out", "onnx") == 0
    head, _, released, exported = capsys.readouterr().out.splitlines()
    assert head.startswith("| format | files | MB | ms |")
    assert released.startswith("| released | model.onnx | 0.0 |")
    assert "cosine 1, neighbours 1" in exported


def perturbed(job: Job, folder: Path) -> None:
    """An export that spoils the weights."""
    to_onnx.make(job.released, job.manifest, folder / "model.onnx")
    broken = onnx.load(folder / "model.onnx")
    for tensor in broken.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.ndim == 4:
            noise = np.random.default_rng(0).normal(0, weights.std(), weights.shape)
            tensor.CopyFrom(numpy_helper.from_array((weights + noise).astype(np.float32), tensor.name))
    onnx.save(broken, folder / "model.onnx")


@pytest.mark.parametrize(("release", "figure"), [(tiny.embedder, "cosine 0."), (tiny.detector, "iou 0.")])
def test_spoilt_weights_fail_and_leave_nothing(release, figure: str, tmp_path: Path, data: Path) -> None:
    manifest = release(tmp_path / "model")
    pictures = choose(data, manifest.preprocessing, 1, 24)
    job = Job(tmp_path / "model" / manifest.file, manifest, pictures, tmp_path / "out", EngineOptions())
    (honest,) = parts(["onnx"], EngineOptions())
    with pytest.raises(ExportError, match=r"onnx of tiny@1 is not faithful, and not kept") as caught:
        export(job, [replace(honest, make=perturbed)], data)
    assert figure in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_gate_is_exit_code_1(model: Path, data: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    limits = {"embedding": {"float": {"cosine": 0.5}, "int8": {"cosine": 1.1}}}
    monkeypatch.setattr(gate, "LIMITS", limits)
    assert run(model, data, tmp_path / "out", "int8") == 1
    assert " < 1.1" in capsys.readouterr().err
    # What passed before stays.
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.onnx", LEDGER}


def test_what_is_there_is_not_made_again(model: Path, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "out" / "model.onnx"

    def made() -> int:
        assert run(model, data, tmp_path / "out", "onnx") == 0
        return file.stat().st_mtime_ns

    first = made()
    assert made() == first
    assert run(model, data, tmp_path / "out", "onnx", "--force") == 0
    forced = file.stat().st_mtime_ns
    assert forced > first
    file.write_bytes(b"damaged")
    repaired = made()
    assert onnx.load(file).graph.node
    # Another release of the same name.
    manifest = (model / "manifest.json").read_text()
    other = onnx.load(model / "model.onnx")
    other.producer_name = "another"
    onnx.save(other, model / "model.onnx")
    old = json.loads(manifest)["sha256"]
    (model / "manifest.json").write_text(manifest.replace(old, file_sha256(model / "model.onnx")))
    assert made() > repaired


def test_a_failure_leaves_no_file_of_an_earlier_release(model: Path, data: Path, tmp_path: Path, monkeypatch) -> None:
    assert run(model, data, tmp_path / "out", "onnx") == 0
    monkeypatch.setattr(gate, "LIMITS", {"embedding": {"float": {"cosine": 1.1}}})
    assert run(model, data, tmp_path / "out", "onnx", "--force") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == [LEDGER]


@pytest.mark.parametrize(
    ("to", "more", "words"),
    [
        ("onnx,tflite", [], "format 'tflite' is unknown; there are onnx, int8, tensorrt, ncnn"),
        ("onnx", ["--pictures", "500"], "(folders with items.jsonl) have 52 pictures; 520 are needed"),
    ],
)
def test_refuses_options(to: str, more: list[str], words: str, model: Path, data: Path, tmp_path: Path, capsys) -> None:
    assert run(model, data, tmp_path / "out", to, *more) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_refuses_a_missing_model(data: Path, tmp_path: Path, capsys) -> None:
    assert run(tmp_path / "nothing", data, tmp_path / "out", "onnx") == 2
    assert "no model in" in capsys.readouterr().err


def test_refuses_data_without_pictures(model: Path, tmp_path: Path, capsys) -> None:
    assert run(model, tmp_path, tmp_path / "out", "onnx") == 2
    assert "have 0 pictures; 44 are needed" in capsys.readouterr().err


def test_names_a_picture_that_cannot_be_read(model: Path, tmp_path: Path, capsys) -> None:
    (tiny.data(tmp_path / "data") / "grocery" / "007.png").write_bytes(b"no picture")
    assert run(model, tmp_path / "data", tmp_path / "out", "onnx", "--pictures", "32") == 2
    assert "007.png: " in capsys.readouterr().err


def test_keeps_out_of_the_released_folder(model: Path, data: Path, capsys) -> None:
    assert run(model, data, model, "onnx") == 2
    assert "holds the released model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("ncnn", "format ncnn needs the package ncnn: pip install 'shiwu[export]'"),
        ("tensorrt", "pip install 'shiwu[tensorrt]'"),
    ],
)
def test_names_the_extra_of_a_missing_package(
    to: str, words: str, model: Path, data: Path, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run(model, data, tmp_path / "out", to) == 2
    assert words in capsys.readouterr().err


def test_calibrates_and_compares_on_different_pictures(data: Path) -> None:
    how = tiny.embedder(data.parent / "unused").preprocessing
    chosen = choose(data, how, 20, 30)
    assert (chosen.calibration.shape, chosen.comparison.shape) == ((20, 32, 32, 3), (30, 32, 32, 3))
    both = {square.tobytes() for square in np.concatenate([chosen.calibration, chosen.comparison])}
    assert len(both) == 50
    again = choose(data, how, 20, 30)
    assert (again.comparison == chosen.comparison).all()

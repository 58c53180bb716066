"""Tuning from manifests."""

from __future__ import annotations

import hashlib
import json

import pytest

from services.gateway.tuning import UNTUNED, Tunings, read_tunings
from shiwu.inference.manifest import ManifestError

TUNING = {
    "vote": {"neighbours": 12, "detector_weight": 0.2, "temperature": 0.05, "rank_decay": 0.0},
    "rerank": {"k1": 10, "k2": 3, "lambda": 0.5, "centre": True},
    "acceptance": {"bias": -5.0, "similarity": 8.0, "margin": 2.0, "threshold": 0.6, "thresholds": {}},
    "domains": {"photo": [0.0] * 4, "merchant": [0.1] * 4},
}


def release(folder, name, tuning, task="embedding"):
    directory = folder / name
    directory.mkdir()
    (directory / "model.onnx").write_bytes(b"model")
    manifest = {
        "name": name,
        "version": "1",
        "file": "model.onnx",
        "sha256": hashlib.sha256(b"model").hexdigest(),
        "inputs": [{"name": "image", "dtype": "uint8", "shape": ["batch", 224, 224, 3]}],
        "outputs": [{"name": "embedding", "dtype": "float32", "shape": ["batch", 4]}],
        "preprocessing": {"size": 224, "fit": "letterbox"},
        "task": task,
        "dimension": 4,
        "tuning": tuning,
    }
    (directory / "manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))


def test_every_embedder_has_its_own(tmp_path):
    release(tmp_path, "tuned", TUNING)
    release(tmp_path, "plain", TUNING | {"rerank": TUNING["rerank"] | {"centre": False}})
    release(tmp_path, "untuned", None)
    tunings = Tunings(read_tunings(tmp_path))
    tuned = tunings.of("tuned@1")
    assert (tuned.neighbours, tuned.mode, tuned.rerank.k1, tuned.acceptance.threshold) == (12, "domain", 10, 0.6)
    assert tuned.means.merchant == (0.1,) * 4
    assert tunings.of("plain@1").mode == "plain"
    assert tunings.of("untuned@1") == UNTUNED
    assert tunings.of("never-heard-of@1") == UNTUNED


def test_the_choice_of_a_region_is_read_and_is_off_without_a_rule(tmp_path):
    weights = {"bias": -5.0, "similarity": 6.0, "margin": 18.0, "score": 0.5, "area": 0.1}
    rule = {"scores": {"detected": weights, "whole": weights}, "sure": 0.6, "lead": 0.1}
    release(tmp_path, "before", TUNING)
    release(tmp_path, "choosing", TUNING | {"regions": rule})
    tunings = Tunings(read_tunings(tmp_path))
    assert tunings.of("before@1").regions is None
    assert tunings.of("choosing@1").regions.model_dump() == rule
    assert UNTUNED.regions is None


def test_the_mode_can_be_forced(tmp_path):
    release(tmp_path, "tuned", TUNING)
    assert Tunings(read_tunings(tmp_path), "none").of("tuned@1").mode == "none"
    assert Tunings({}, "plain").of("unknown@1").mode == "plain"


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(ManifestError, match="not a folder"):
        read_tunings(tmp_path / "none")
    release(tmp_path, "short", TUNING | {"domains": {"photo": [0.0] * 3, "merchant": [0.0] * 4}})
    with pytest.raises(ManifestError, match=r"short@1: tuning\.domains\.photo has 3 numbers; expected 4"):
        read_tunings(tmp_path)

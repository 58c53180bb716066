"""Tuning from manifests."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest

from services.gateway.tuning import UNTUNED, Tunings, read_tunings
from shiwu.inference.manifest import ManifestError, read_manifest
from shiwu.inference.query_bank import BANK_NAME, write_bank

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


def with_bank(folder, name, *, model=None, sha256=None, queries=None):
    """A release that is tuned to a bank, with one beside it."""
    release(folder, name, TUNING | {"rerank": {"neighbours": 3, "weight": 0.2}})
    manifest = read_manifest(folder / name)
    changed = {key: value for key, value in {"name": model, "sha256": sha256}.items() if value}
    queries = np.eye(4, dtype=np.float32)[:3] if queries is None else queries
    write_bank(queries, manifest.model_copy(update=changed), folder / name)


def test_every_embedder_has_its_own(tmp_path):
    release(tmp_path, "tuned", TUNING)
    release(tmp_path, "plain", TUNING | {"rerank": TUNING["rerank"] | {"centre": False}})
    release(tmp_path, "expanding", TUNING | {"rerank": {"pictures": 2, "alpha": 3.0}})
    release(tmp_path, "idle", TUNING | {"rerank": TUNING["rerank"] | {"lambda": 1.0}})
    release(tmp_path, "off", {key: value for key, value in TUNING.items() if key != "rerank"})
    release(tmp_path, "untuned", None)
    with_bank(tmp_path, "banking")
    tunings = Tunings(read_tunings(tmp_path))
    tuned = tunings.of("tuned@1")
    assert (tuned.neighbours, tuned.reranker.mode, tuned.rule.k1, tuned.acceptance.threshold) == (12, "domain", 10, 0.6)
    assert tuned.means.merchant == (0.1,) * 4
    assert tunings.of("plain@1").reranker.mode == "plain"
    assert tunings.of("expanding@1").reranker.mode == "query-expansion"
    assert tunings.of("idle@1").reranker is None
    assert (tunings.of("off@1").reranker, tunings.of("off@1").refusal) == (None, "")
    assert tunings.of("untuned@1") == UNTUNED
    assert tunings.of("never-heard-of@1") == UNTUNED
    banking = tunings.of("banking@1").reranker
    assert (banking.mode, banking.rule.neighbours) == ("query-bank", 3)
    assert (banking.queries == np.eye(4)[:3]).all()


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
    with_bank(tmp_path, "banking")
    manifests = read_tunings(tmp_path)
    assert Tunings(manifests, "none").of("tuned@1").reranker is None
    assert Tunings(manifests, "plain").of("tuned@1").reranker.rule.k1 == 10
    assert Tunings(manifests, "domain").of("banking@1").reranker.mode == "domain"
    assert Tunings(manifests, "query-expansion").of("tuned@1").reranker.mode == "query-expansion"
    assert Tunings(manifests, "query-bank").of("banking@1").reranker.mode == "query-bank"
    without = Tunings(manifests, "query-bank").of("tuned@1")
    assert (without.reranker, without.refusal) == (None, "no query bank was released with the embedder")
    assert Tunings({}, "plain").of("unknown@1").reranker.mode == "plain"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"model": "other"}, "the query bank is of other@1"),
        ({"sha256": "0" * 64}, r"the query bank is of banking@1 \(000000000000\), not of banking@1"),
        ({"queries": np.eye(5, dtype=np.float32)}, r"the shape \(5, 5\); expected \(m, 4\)"),
        ({"queries": np.zeros((0, 4), np.float32)}, r"the shape \(0, 4\)"),
        ({"queries": np.full((2, 4), np.nan, np.float32)}, "does not hold unit vectors"),
    ],
)
def test_a_bank_that_is_not_this_models_is_refused(tmp_path, wrong, reason):
    with_bank(tmp_path, "banking", **wrong)
    tuning = read_tunings(tmp_path)["banking@1"]
    assert tuning.reranker is None
    assert re.search(reason, tuning.refusal)
    assert Tunings({"banking@1": tuning}, "none").of("banking@1").refusal == ""


def test_a_lost_or_broken_bank_is_told_of(tmp_path):
    with_bank(tmp_path, "banking")
    (tmp_path / "banking" / BANK_NAME).write_bytes(b"no bank")
    assert "is not a query bank" in read_tunings(tmp_path)["banking@1"].refusal
    (tmp_path / "banking" / BANK_NAME).unlink()
    assert read_tunings(tmp_path)["banking@1"].refusal == "banking@1 has no query bank"


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(ManifestError, match="not a folder"):
        read_tunings(tmp_path / "none")
    release(tmp_path, "short", TUNING | {"domains": {"photo": [0.0] * 3, "merchant": [0.0] * 4}})
    with pytest.raises(ManifestError, match=r"short@1: tuning\.domains\.photo has 3 numbers; expected 4"):
        read_tunings(tmp_path)

"""What is frozen is what the gateway then serves."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from evaluation.observations import World
from evaluation.tune import freeze, reranker_of
from services.gateway.tuning import read_tunings
from shiwu.inference.query_bank import BANK_NAME
from shiwu.inference.tuning import (
    AcceptanceRule,
    DomainMeans,
    KReciprocalRule,
    QueryBankRule,
    QueryExpansionRule,
    Tuning,
    VoteRule,
)
from tests.unit.evaluation.observations import unit

WORLD = World(
    votes=[],
    tuned_on={},
    unseen={},
    bank=unit(np.random.default_rng(0).normal(size=(30, 8))),
    means=DomainMeans(photo=(0.0,) * 8, merchant=(0.1,) * 8),
    regions=None,
)


def tuning(rule):
    return Tuning(
        vote=VoteRule(neighbours=7, detector_weight=0.2, temperature=0.1, rank_decay=0.0),
        rerank=rule,
        acceptance=AcceptanceRule(bias=-1.0, similarity=2.0, margin=3.0, hubness=-0.5, threshold=0.4),
        domains=WORLD.means,
    )


@pytest.fixture
def release(tmp_path):
    directory = tmp_path / "embedder"
    directory.mkdir()
    (directory / "model.onnx").write_bytes(b"model")
    manifest = {
        "name": "embedder",
        "version": "3",
        "file": "model.onnx",
        "sha256": hashlib.sha256(b"model").hexdigest(),
        "inputs": [],
        "outputs": [],
        "preprocessing": {"size": 224, "fit": "letterbox"},
        "task": "embedding",
        "dimension": 8,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


@pytest.mark.parametrize(
    "rule",
    [
        None,
        QueryBankRule(neighbours=5, weight=0.1),
        QueryExpansionRule(pictures=2, alpha=3.0),
        KReciprocalRule.model_validate({"k1": 5, "k2": 2, "lambda": 0.7, "centre": False}),
        KReciprocalRule.model_validate({"k1": 5, "k2": 2, "lambda": 0.7, "centre": True}),
    ],
)
def test_the_gateway_ranks_with_what_was_frozen(release, rule):
    freeze(tuning(rule), WORLD, release)
    served = read_tunings(release.parent)["embedder@3"]
    fitted = reranker_of(tuning(rule), WORLD)
    assert (served.refusal, served.rule, served.acceptance) == ("", rule, tuning(rule).acceptance)
    assert type(served.reranker) is type(fitted)
    if fitted is not None:
        assert (served.reranker.mode, served.reranker.rule) == (fitted.mode, fitted.rule)


def test_the_bank_is_kept_to_half_precision_and_goes_when_it_is_not_used(release):
    freeze(tuning(QueryBankRule(neighbours=5, weight=0.1)), WORLD, release)
    served = read_tunings(release.parent)["embedder@3"].reranker.queries
    assert served == pytest.approx(WORLD.bank, abs=1e-3)
    assert np.linalg.norm(served, axis=1) == pytest.approx(1.0, abs=1e-6)
    freeze(tuning(None), WORLD, release)
    assert not (release / BANK_NAME).exists()


def test_a_model_trained_anew_refuses_the_old_bank(release):
    freeze(tuning(QueryBankRule(neighbours=5, weight=0.1)), WORLD, release)
    (release / "model.onnx").write_bytes(b"trained anew")
    manifest = json.loads((release / "manifest.json").read_text())
    manifest["sha256"] = hashlib.sha256(b"trained anew").hexdigest()
    (release / "manifest.json").write_text(json.dumps(manifest))
    served = read_tunings(release.parent)["embedder@3"]
    assert served.reranker is None
    assert "the query bank is of embedder@3" in served.refusal

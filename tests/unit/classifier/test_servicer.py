"""The classifier as a real server, and its start."""

from __future__ import annotations

import hashlib
import json
from functools import partial

import grpc
import pytest
from pydantic import ValidationError

from services.classifier.__main__ import NAME, rule_of
from services.classifier.servicer import ClassifierService
from services.classifier.settings import Settings
from services.classifier.voting import DEFAULT_RULE
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.inference.manifest import ManifestError
from shiwu.v1 import classifier_pb2 as pb
from shiwu.v1.classifier_pb2_grpc import ClassifierServiceStub, add_ClassifierServiceServicer_to_server
from shiwu.v1.vision_pb2 import CategoryScore


@pytest.fixture
async def stub():
    add = partial(add_ClassifierServiceServicer_to_server, ClassifierService(DEFAULT_RULE))
    async with (
        running(NAME, add, ServerSettings(port=0, drain_seconds=0.0)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield ClassifierServiceStub(channel)


async def test_votes(stub):
    neighbors = [pb.Neighbor(image_id=f"i{i}", category="bags", similarity=0.5) for i in range(25)]
    answer = await stub.Vote(pb.VoteRequest(detector=[CategoryScore(category="toys", score=0.5)], neighbors=neighbors))
    assert [(each.category, each.score) for each in answer.categories] == [
        ("bags", pytest.approx(0.7)),
        ("toys", pytest.approx(0.3)),
    ]
    assert len(answer.shares) == 25
    assert [share.share for share in answer.shares[20:]] == [0.0] * 5
    assert answer.detector_share + sum(share.share for share in answer.shares) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.VoteRequest(), "nobody votes"),
        (pb.VoteRequest(detector=[CategoryScore(category="x", score=0.5)]), "detector[0].category"),
        (
            pb.VoteRequest(neighbors=[pb.Neighbor(image_id="a", category="toys", similarity=float("nan"))]),
            "neighbors[0].similarity",
        ),
    ],
)
async def test_bad_input_is_an_invalid_argument_that_names_the_field(stub, request_, field):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.Vote(request_)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details().startswith(field)


def release(folder, **changes):
    directory = folder / "embedder-lite0"
    directory.mkdir()
    (directory / "model.onnx").write_bytes(b"model")
    tuning = {
        "vote": {"neighbours": 7, "detector_weight": 0.1, "temperature": 0.05, "rank_decay": 0.0},
        "rerank": {"k1": 10, "k2": 3, "lambda": 0.5, "centre": True},
        "acceptance": {"bias": -5.0, "similarity": 8.0, "margin": 2.0, "threshold": 0.6},
        "domains": {"photo": [0.0], "merchant": [0.0]},
    }
    manifest = {
        "name": "embedder-lite0",
        "version": "1",
        "file": "model.onnx",
        "sha256": hashlib.sha256(b"model").hexdigest(),
        "inputs": [],
        "outputs": [],
        "preprocessing": {"size": 224, "fit": "letterbox"},
        "task": "embedding",
        "dimension": 1,
        "tuning": tuning,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest | changes))
    return Settings(models=folder)


def test_the_rule_is_the_embedders(tmp_path):
    assert rule_of(release(tmp_path)).neighbours == 7


def test_an_untuned_embedder_has_the_default_rule(tmp_path):
    assert rule_of(release(tmp_path, tuning=None)) == DEFAULT_RULE


def test_no_embedder_is_told(tmp_path):
    with pytest.raises(ManifestError, match="embedder-lite0"):
        rule_of(Settings(models=tmp_path))


def test_a_typo_in_the_environment_is_told(monkeypatch):
    monkeypatch.setenv("CLASSIFIER_MODLES", "x")
    with pytest.raises(ValidationError, match="modles"):
        Settings()

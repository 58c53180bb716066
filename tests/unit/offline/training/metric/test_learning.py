from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline.training.items import Item
from offline.training.metric.batches import TrainingBatches, corpus
from offline.training.metric.config import ExperimentError
from offline.training.metric.learning import Learner, Training
from offline.training.metric.network import Deployed
from offline.training.metric.pictures import centred, on_white
from offline.training.metric.probes import embed
from offline.training.metric.run import load_learner, run, start
from offline.training.release import release_embedder
from shiwu.inference.manifest import Preprocessing, read_manifest

from .conftest import experiment

_SWITCHES: dict[str, dict[str, Any]] = {
    "softmax": {"classification": {"kind": "softmax"}},
    "sphereface": {"classification": {"kind": "sphereface"}},
    "subcentre": {"classification": {"kind": "subcentre"}},
    "ranking alone": {"classification": {"kind": "none"}, "ranking": {"kind": "triplet"}},
    "memory": {"ranking": {"kind": "contrastive", "memory": 32}},
    "lifted": {"ranking": {"kind": "lifted"}},
    "tasks": {"tasks": {"attributes": ["style", "category", "colour"]}},
    "attention": {"model": {"attention": "both"}},
    "cascade": {"model": {"cascade": True, "frozen_stages": 1}},
    "mutual": {"peer": {"kind": "mutual", "backbone": "lite1"}},
    "erasing": {"augmentation": {"erase": "adversarial"}},
    "gem": {"model": {"pooling": "gem"}},
    "neck": {"model": {"neck": "batch"}},
    "domains": {"model": {"neck": "domain"}, "batches": {"balance": "domain"}},
    "instances": {"batches": {"singles": 2}},
    "phone": {"augmentation": {"phone": 1.0, "turn": 0.5}},
}
_SWITCHES["all"] = {
    "classification": {"kind": "arcface"},
    "ranking": {"kind": "contrastive", "memory": 32},
    "tasks": {"attributes": ["category"]},
    "model": {"attention": "both", "cascade": True, "pooling": "gem", "neck": "domain", "frozen_stages": 1},
    "peer": {"kind": "mutual"},
    "augmentation": {"erase": "adversarial", "phone": 0.7, "turn": 0.2},
    "batches": {"singles": 2, "balance": "domain"},
}


@pytest.mark.parametrize("name", _SWITCHES)
def test_gradients_reach_every_parameter_that_is_trained(items: tuple[Item, ...], name: str) -> None:
    how = experiment(**_SWITCHES[name])
    data = corpus(items, how)
    torch.manual_seed(0)
    training = Training(how, data).train()
    training.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    training.training_step(TrainingBatches(data, how)[0], 0).backward()
    missed = [key for key, p in training.named_parameters() if p.requires_grad and p.grad is None]
    assert not missed
    assert all(p.grad.isfinite().all() for p in training.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", ["softmax", "arcface", "subcentre"])
def test_the_start_knows_the_products_already(items: tuple[Item, ...], kind: str) -> None:
    how = experiment(classification={"kind": kind}, model={"pretrained": True, "dimension": 8})
    data = corpus(items, how)
    torch.manual_seed(0)
    learner = Learner(how, data)
    start(learner, data, how)
    batch = TrainingBatches(data, how)[0]
    vectors = learner.network.eval()(centred(on_white(batch.pixels)), batch.photo).vectors
    assert vectors.norm(dim=1).mean().item() == pytest.approx(how.classification.scale, rel=0.2)
    logits = learner.objective.classifier.get_logits(vectors)
    assert torch.equal(logits.argmax(dim=1), batch.product)


def test_a_run_leaves_everything_and_is_the_same_after_an_interruption(
    items: tuple[Item, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = experiment(
        ranking={"kind": "contrastive", "memory": 32},
        tasks={"attributes": ["category", "colour"]},
        augmentation={"phone": 0.5},
        optimisation={"accumulate": 2},
    )
    whole = run(how, items, tmp_path / "whole")
    present = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {"experiment.yaml", "run.json", "result.json", "metrics.csv", "curves.png", "last.ckpt"} <= present
    assert json.loads((tmp_path / "whole" / "run.json").read_text())["git"]
    assert set(whole) == {"shop", "shop among trained"}

    def interrupted(self: Training) -> None:
        if self.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Training, "on_train_epoch_start", interrupted)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(how, items, tmp_path / "cut")
    assert not (tmp_path / "cut" / "result.json").exists()
    assert run(how, items, tmp_path / "cut") == whole
    states = [torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("whole", "cut")]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=0, atol=0, msg=key)


def test_half_precision_is_for_the_network_alone(items: tuple[Item, ...], tmp_path: Path) -> None:
    how = experiment(
        classification={"kind": "arcface"}, ranking={"kind": "triplet"}, optimisation={"precision": "bf16-mixed"}
    )
    run(how, items, tmp_path)
    learner = load_learner(tmp_path, how, corpus(items, how))
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert {value.dtype for value in state.values()} <= {torch.float32, torch.int64}
    assert all(parameter.isfinite().all() for parameter in learner.parameters())


def test_a_folder_keeps_to_its_experiment(items: tuple[Item, ...], tmp_path: Path) -> None:
    nothing = {"steps": 0}
    run(experiment(optimisation=nothing), items, tmp_path)
    with pytest.raises(ExperimentError, match="another experiment"):
        run(experiment(optimisation=nothing, seed=1), items, tmp_path)


def test_a_teacher_is_a_finished_run_on_the_same_products(items: tuple[Item, ...], tmp_path: Path) -> None:
    short = {"steps": 2}
    run(experiment(optimisation=short), items, tmp_path / "teacher")
    peer = {"kind": "distil", "checkpoint": tmp_path / "teacher"}
    run(experiment(optimisation=short, peer=peer), items, tmp_path / "pupil")
    assert "train/agreement" in (tmp_path / "pupil" / "metrics.csv").read_text()
    with pytest.raises(ExperimentError, match="other products"):
        run(experiment(peer=peer, data={"split_seed": 1}), items, tmp_path / "other")


def test_a_release_is_what_was_measured(items: tuple[Item, ...], tmp_path: Path) -> None:
    how = experiment(model={"attention": "both", "pooling": "gem", "neck": "batch"}, optimisation={"steps": 2})
    run(how, items, tmp_path / "run")
    data = corpus(items, how)
    network = load_learner(tmp_path / "run", how, data).network.eval()
    preprocessing = Preprocessing(size=32, fit="letterbox")
    assert release_embedder(Deployed(network), "tiny", "1", preprocessing, 16, tmp_path / "release") < 1e-4
    assert read_manifest(tmp_path / "release").id == "tiny@1"
    np.testing.assert_allclose(np.linalg.norm(embed(network, data.held_out, 32), axis=1), 1, atol=1e-5)

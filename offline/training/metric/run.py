"""One run: a folder with the experiment, what it ran on, checkpoints, metrics, curves and the result.

`experiment.yaml`, `run.json` (git revision, versions, machine, products), `last.ckpt`, `metrics.csv`, TensorBoard's
files, `curves.png` and `result.json`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import platform
import subprocess
import warnings
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from offline.training.embedder.model import start_as_pca
from offline.training.embedder.retrieval import Report
from offline.training.items import Item
from offline.training.metric.batches import Corpus, corpus
from offline.training.metric.config import Experiment, ExperimentError, read_experiment
from offline.training.metric.curves import draw_curves
from offline.training.metric.learning import Learner, Loaders, Training
from offline.training.metric.pictures import centred, on_white, squares
from offline.training.metric.probes import measure
from offline.training.typed_yaml import write_yaml

EXPERIMENT, RUN, RESULT, CHECKPOINT = "experiment.yaml", "run.json", "result.json", "last.ckpt"
_START_VIEWS = 3
_PACKAGES = ("torch", "lightning", "pytorch-metric-learning", "kornia", "numpy")


def run(experiment: Experiment, items: Sequence[Item], folder: Path, *, bar: bool = False) -> dict[str, Report]:
    """Trains, measures and leaves everything in `folder`; goes on where an interrupted run of it was.

    Raises ExperimentError when the folder holds another experiment, or the experiment does not go together.
    """
    _claim(folder, experiment)
    data = corpus(items, experiment)
    _describe(folder, data)
    lightning.seed_everything(experiment.seed, workers=True, verbose=False)
    training = Training(experiment, data, _teacher(experiment, data))
    if not (folder / CHECKPOINT).exists():
        for learner in (training.learner, training.peer):
            if learner is not None and experiment.model.pretrained:
                start(learner, data, experiment)
    if experiment.optimisation.steps:
        _fit(training, experiment, data, folder, bar=bar)
    report = measure(training.learner.network, data, experiment.data.size)
    _write_result(report, folder)
    return report


@rank_zero_only
def _write_result(report: dict[str, Report], folder: Path) -> None:
    result = {name: dataclasses.asdict(value) for name, value in report.items()}
    (folder / RESULT).write_text(json.dumps(result, indent=1), encoding="utf-8")


def _fit(training: Training, experiment: Experiment, data: Corpus, folder: Path, *, bar: bool) -> None:
    how = experiment.optimisation
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    checkpoints = ModelCheckpoint(folder, save_last=True, save_top_k=0, save_on_train_epoch_end=True)
    trainer = lightning.Trainer(
        accelerator=how.accelerator,
        devices=how.devices,
        strategy=how.strategy,
        precision=how.precision,
        max_steps=how.steps,
        accumulate_grad_batches=how.accumulate,
        gradient_clip_val=5.0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if data.validation else 0,
        log_every_n_steps=min(10, how.validate_every),
        callbacks=[checkpoints],
        logger=[CSVLogger(folder, name=None, version=""), TensorBoardLogger(folder, name=None, version="")],
        enable_progress_bar=bar,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    with warnings.catch_warnings():
        # Workers and log intervals are the experiment's choice, not to be advised on.
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(training, Loaders(experiment, data), ckpt_path="last" if (folder / CHECKPOINT).exists() else None)
    if trainer.is_global_zero:
        draw_curves(folder / "metrics.csv", folder / "curves.png")


def start(learner: Learner, data: Corpus, experiment: Experiment) -> None:
    """Starts from what ImageNet's features say of some training pictures of every product.

    The projections become their principal components, scaled so that vectors are as long on average as
    `classification.scale`, and the class centres the products' means.
    """
    rng = np.random.default_rng(experiment.seed)
    counts: Counter[str | None] = Counter()
    chosen: list[Item] = []
    for i in rng.permutation(len(data.train)):
        item = data.train[int(i)]
        counts[item.product_id] += 1
        if counts[item.product_id] <= _START_VIEWS:
            chosen.append(item)
    network = learner.network.eval()
    images = [centred(on_white(part)) for part in torch.split(squares(chosen, experiment.data.size), 64)]
    with torch.no_grad():
        pooled = [torch.cat(level) for level in zip(*(network.describe(part)[0] for part in images), strict=True)]
        for project, descriptors in zip(network.projections, pooled, strict=True):
            # Fewer pictures than dimensions have no covariance to speak of.
            if isinstance(project, nn.Linear) and len(chosen) > project.out_features:
                start_as_pca(project, descriptors)
        raw = torch.cat([project(x) for project, x in zip(network.projections, pooled, strict=True)], dim=1)
        longer = experiment.classification.scale / raw.norm(dim=1).mean()
        for parameter in network.projections.parameters():
            parameter.mul_(longer)
        products, _ = data.labels(chosen)
        learner.objective.start_centres(raw, products)
    learner.train()


def load_learner(folder: Path, experiment: Experiment, data: Corpus) -> Learner:
    """The deployed learner of a finished run. Raises ExperimentError when it was trained on other products."""
    if json.loads((folder / RUN).read_text())["products"] != list(data.products):
        msg = f"{folder} was trained on other products"
        raise ExperimentError(msg)
    learner = Learner(experiment, data)
    state = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)["state_dict"]
    own = {name.removeprefix("learner."): value for name, value in state.items() if name.startswith("learner.")}
    learner.load_state_dict(own)
    return learner


def _teacher(experiment: Experiment, data: Corpus) -> Learner | None:
    peer = experiment.peer
    if peer is None or peer.checkpoint is None:
        return None
    return load_learner(peer.checkpoint, read_experiment(peer.checkpoint / EXPERIMENT), data)


def _claim(folder: Path, experiment: Experiment) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / EXPERIMENT
    if path.exists() and read_experiment(path) != experiment:
        msg = f"{folder} holds another experiment; choose another folder"
        raise ExperimentError(msg)
    write_yaml(experiment, path)


def _describe(folder: Path, data: Corpus) -> None:
    described: dict[str, Any] = {
        "git": revision(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in _PACKAGES},
        "training pictures": len(data.train),
        "products": list(data.products),
    }
    (folder / RUN).write_text(json.dumps(described, indent=1), encoding="utf-8")


def revision() -> str:
    """The commit that runs, with "+changes" if files differ from it; "unknown" outside a repository."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603, S607

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

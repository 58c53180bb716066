"""The rows of the ablation table: a direction each, and the row that it is compared with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from offline.training.metric.config import Experiment

REFERENCE: Final = "normalised"


class Budget(NamedTuple):
    """What every row may cost."""

    steps: int
    size: int
    """Side of the images, pixels."""
    seeds: int


@dataclass(frozen=True)
class Row:
    """A direction: what it changes of the reference, and the row that it is compared with."""

    name: str
    title: str
    changes: dict[str, Any] = field(default_factory=dict)
    against: str | None = REFERENCE
    teacher: str | None = None
    """The row whose finished run is distilled."""


_CONTRASTIVE: Final[dict[str, Any]] = {"ranking": {"kind": "contrastive"}}
_TASKS: Final = ["style", "category", "label"]

ROWS: Final = (
    Row("imagenet", "ImageNet's features, reduced by PCA, no training", {"optimisation": {"steps": 0}}, None),
    Row("softmax", "Softmax baseline", {"classification": {"kind": "softmax"}}, "imagenet"),
    Row(REFERENCE, "Normalised weights and features, scale 24 (the reference)", {}, "softmax"),
    Row("sphereface", "SphereFace", {"classification": {"kind": "sphereface"}}),
    Row("cosface", "CosFace", {"classification": {"kind": "cosface"}}),
    Row("arcface", "ArcFace", {"classification": {"kind": "arcface"}}),
    Row("subcentre", "Sub-centre ArcFace", {"classification": {"kind": "subcentre"}}, "arcface"),
    Row("contrastive", "Contrastive loss beside classification", _CONTRASTIVE),
    Row("triplet", "Triplet loss (batch-hard) beside classification", {"ranking": {"kind": "triplet"}}),
    Row("lifted", "Lifted structure beside classification", {"ranking": {"kind": "lifted"}}),
    Row("memory", "Cross-batch memory of 1,024", {"ranking": {"kind": "contrastive", "memory": 1024}}, "contrastive"),
    Row(
        "tasks-equal",
        "Style, category and label too, equal weights",
        {"tasks": {"attributes": _TASKS, "weighting": "equal"}},
    ),
    Row("tasks-trend", "Style, category and label too, weights by trend", {"tasks": {"attributes": _TASKS}}),
    Row("attention-spatial", "Spatial attention", {"model": {"attention": "spatial"}}),
    Row("attention-channel", "Channel attention", {"model": {"attention": "channel"}}),
    Row("attention-both", "Spatial and channel attention", {"model": {"attention": "both"}}),
    Row("cascade", "Hard-aware cascade of three levels", {"model": {"cascade": True}}, "contrastive"),
    Row("lite1", "EfficientNet-lite1", {"model": {"backbone": "lite1"}}),
    Row("lite2", "EfficientNet-lite2", {"model": {"backbone": "lite2"}}),
    Row("mutual", "Mutual learning with lite1, lite0 deployed", {"peer": {"kind": "mutual", "backbone": "lite1"}}),
    Row("distil", "Distillation from the lite2 row", {"peer": {"kind": "distil"}}, teacher="lite2"),
    Row("erase-random", "Random erasing", {"augmentation": {"erase": "random"}}),
    Row("erase-bernoulli", "Bernoulli erasing of cells", {"augmentation": {"erase": "bernoulli"}}),
    Row("erase-adversarial", "Adversarial erasing", {"augmentation": {"erase": "adversarial"}}),
    Row("gem", "GeM pooling", {"model": {"pooling": "gem"}}),
    Row("phone", "Simulated phone shots on the query side", {"augmentation": {"phone": 0.6}}),
    Row("turn", "Quarter turns on the query side", {"augmentation": {"turn": 0.3}}),
    Row("instances", "Instance discrimination on 16 single pictures a batch", {"batches": {"singles": 16}}),
    Row("unbalanced", "Products and pictures drawn alike", {"batches": {"balance": "none"}}, None),
    Row("balance", "Batches balanced over sets and domains (in every other row too)", {}, "unbalanced"),
    Row("neck-batch", "Batch-norm neck", {"model": {"neck": "batch"}}),
    Row("neck-domain", "Batch norm per domain", {"model": {"neck": "domain"}}),
    Row(
        "combined",
        "ArcFace, triplet loss and random erasing together",
        {
            "classification": {"kind": "arcface"},
            "ranking": {"kind": "triplet"},
            "augmentation": {"erase": "random"},
        },
    ),
)
_BY_NAME: Final = {row.name: row for row in ROWS}


def chosen_rows(names: Iterable[str]) -> list[Row]:
    """The named rows, all of them for no names, with those that they need, in the order of the table.

    Raises KeyError for a name that is none.
    """
    wanted = {name: _BY_NAME[name] for name in names} or dict(_BY_NAME)
    waiting = list(wanted.values())
    while waiting:
        row = waiting.pop()
        for name in (row.against, row.teacher):
            if name is not None and name not in wanted:
                wanted[name] = _BY_NAME[name]
                waiting.append(_BY_NAME[name])
    return [row for row in ROWS if row.name in wanted]


def experiment_of(row: Row, seed: int, budget: Budget, runs: Path) -> Experiment:
    """The experiment of a row. The seed also draws the products that are held out, the same ones in every row."""
    values: dict[str, Any] = {
        "name": row.name,
        "seed": seed,
        "data": {"size": budget.size, "split_seed": seed},
        "batches": {"balance": "domain"},
        "optimisation": {
            "steps": budget.steps,
            "warmup": budget.steps // 10,
            "validate_every": max(1, budget.steps // 5),
            "accelerator": "cpu",
        },
    }
    changes = row.changes
    if row.teacher:
        teacher = experiment_of(_BY_NAME[row.teacher], seed, budget, runs)
        changes = {"peer": {**changes["peer"], "checkpoint": runs / folder_name(teacher)}}
    for part, change in changes.items():
        values[part] = {**values.get(part, {}), **change}
    return Experiment.model_validate(values)


def key_of(experiment: Experiment) -> str:
    """The same for equal experiments, whatever they are called."""
    text = json.dumps(experiment.model_dump(mode="json", exclude={"name"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def folder_name(experiment: Experiment) -> str:
    return f"{experiment.name}-{experiment.seed}-{key_of(experiment)}"

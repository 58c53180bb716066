from __future__ import annotations

from pathlib import Path

import pytest

from offline.training.metric import config
from offline.training.metric.config import Experiment, ExperimentError, read_experiment
from offline.training.typed_yaml import write_yaml


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    experiment = Experiment.model_validate(
        {
            "name": "all",
            "peer": {"kind": "mutual"},
            "tasks": {"attributes": ["style"]},
            "data": {"held_out": {"a": 0.5}},
        }
    )
    write_yaml(experiment, tmp_path / "e.yaml")
    assert read_experiment(tmp_path / "e.yaml") == experiment


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{name: a, model: {poolin: gem}}", r"model\.poolin"),
        ("{name: a, ranking: {kind: best}}", r"ranking\.kind"),
        ("{name: a, data: {size: 100}}", "32"),
        ("[", "e.yaml"),
        ("", "e.yaml"),
        ("{name: a, classification: {kind: none}, peer: {}}", "ask for classes"),
        ("{name: a, classification: {kind: none}}", "nothing is taught"),
        ("{name: a, peer: {kind: distil}}", "finished run"),
        ("{name: a, ranking: {kind: triplet, memory: 8}}", "hold a batch of 64"),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "e.yaml").write_text(text)
    with pytest.raises(ExperimentError, match=named):
        read_experiment(tmp_path / "e.yaml")


def test_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="no experiment at"):
        read_experiment(tmp_path / "none.yaml")


def test_the_experiment_that_we_ship_can_be_read() -> None:
    assert read_experiment(Path(config.__file__).with_name("reference.yaml")).name == "reference"

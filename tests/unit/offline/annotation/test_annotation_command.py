"""The command on a folder of real files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from offline.annotation import coco
from offline.annotation.__main__ import main
from offline.annotation.config import Settings
from offline.annotation.labels import LabelError, Labelled, LabelSet, Picture
from offline.annotation.project import Project, read_answers
from tests.unit.offline.annotation.colours import NAMES, SIDE, scene

torch.set_num_threads(1)
HAND = 8


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve pictures, eight of them boxed."""
    folder = tmp_path / "data"
    (folder / "images" / "sub").mkdir(parents=True)
    pictures = []
    for number in range(12):
        pixels, truth = scene(number)
        file = f"sub/{number:02d}.png" if number % 2 else f"{number:02d}.png"
        cv2.imwrite(str(folder / "images" / file), pixels[..., ::-1])
        boxes = tuple(
            Labelled(tuple(map(float, box)), NAMES[category])
            for box, category in zip(truth.boxes.tolist(), truth.categories, strict=True)
        )
        if number < HAND:
            pictures.append(Picture(file, SIDE, SIDE, boxes))
    coco.write(LabelSet(NAMES, tuple(sorted(pictures, key=lambda each: each.file))), folder / "boxes.json")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "rounds.yaml"
    path.write_text(
        "heads: {channels: 8, depth: 1, steps: 6, batch: 4}\n"
        "stopping: {rounds: 2, drift: 1.0, patience: 2}\n"
        "acceptance: {accept: 0.02, doubt: 0.001, questions: 5}\n"
    )
    return path


@pytest.mark.slow
def test_rounds_resume_listen_and_end(
    data: Path, settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, said = tmp_path / "runs", tmp_path / "decisions.jsonl"
    command = [str(settings), "--data", str(data), "--runs", str(runs), "--decisions", str(said)]
    said.write_text("")
    main([*command, "--once"])
    assert "round 0: AP" in capsys.readouterr().out
    assert not (runs / "labels.json").exists()
    subject = {"image_id": "08.png", "category": "red", "box": [2, 2, 20, 20]}
    said.write_text(json.dumps({"subject": subject, "accepted": True}) + "\n")
    main(command)
    out = capsys.readouterr().out
    assert "round 1: AP" in out
    assert "1 answers heard" in out
    main(command)
    assert "best: round" in capsys.readouterr().out
    drawn, found = coco.read(data / "boxes.json"), coco.read(runs / "labels.json")
    assert {each.file: each for each in drawn.pictures}.items() <= {each.file: each for each in found.pictures}.items()
    assert (runs / "model" / "heads.pt").exists()
    (answered,) = [each for each in found.pictures if each.file == "08.png"]
    assert Labelled((2.0, 2.0, 20.0, 20.0), "red") in answered.boxes
    settings.write_text(settings.read_text().replace("steps: 6", "steps: 7"))
    with pytest.raises(SystemExit, match="had other settings"):
        main(command)


def test_no_picture_is_in_two_parts(data: Path) -> None:
    project = Project.open(data, Settings())
    rest = project.material.unlabelled
    assert len(rest) == 12 - HAND
    assert len(project.material.held_back) == 2
    names = [each.picture for each in (*project.material.hand, *project.material.held_back)]
    assert not {*names} & {*rest}
    assert project.picture(rest[0]).shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1"),
        ('{"subject": {"image_id": "a", "category": "green", "box": [0, 0, 1, 1]}, "accepted": true}', "green|not in"),
        ('{"subject": {"image_id": "a", "category": "red", "box": [0, 0, 1]}, "accepted": true}', "line 1"),
        ('{"subject": {"image_id": "a", "category": "red", "box": [0, 0, 1, 1]}, "accepted": "yes"}', "'yes'"),
        ('{"subject": {"image_id": "a", "category": "red", "box": [0, 0, 1, 1]}}', "'accepted'"),
    ],
)
def test_an_answer_that_is_none_is_named(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "said.jsonl").write_text(line)
    with pytest.raises(LabelError, match=said):
        read_answers(tmp_path / "said.jsonl", NAMES)


def test_the_last_word_counts(tmp_path: Path) -> None:
    row = {"subject": {"image_id": "a", "category": "red", "box": [0, 0, 1, 1]}, "accepted": True}
    lines = [json.dumps(row), "", json.dumps({**row, "accepted": False})]
    (tmp_path / "said.jsonl").write_text("\n".join(lines))
    (answer,) = read_answers(tmp_path / "said.jsonl", NAMES)
    assert not answer.right


def test_what_is_wrong_with_a_folder_is_said(data: Path, settings: Path, tmp_path: Path) -> None:
    def said() -> str:
        with pytest.raises(SystemExit) as caught:
            main([str(settings), "--data", str(data), "--runs", str(tmp_path / "runs")])
        return str(caught.value)

    boxes = json.loads((data / "boxes.json").read_text())
    (data / "boxes.json").write_text(json.dumps({**boxes, "images": boxes["images"][:3], "annotations": []}))
    assert "boxes for 4 pictures or more are needed, not 3" in said()
    (data / "boxes.json").write_text(json.dumps({**boxes, "annotations": []}))
    assert "the 6 pictures to train on have no box" in said()
    (data / "boxes.json").write_text(json.dumps(boxes))
    (data / "images" / "00.png").unlink()
    assert "00.png is not there, but has boxes" in said()
    (data / "images" / "00.png").write_text("no picture")
    assert "00.png is not a picture" in said()
    settings.write_text("acceptance: {accept: 0.2, doubt: 0.5}")
    assert "doubt (0.5) must be below accept (0.2)" in said()
    settings.write_text("accept: 0.2")
    assert "Extra inputs are not permitted" in said()
    np.testing.assert_equal((tmp_path / "runs" / "round-00").exists(), False)

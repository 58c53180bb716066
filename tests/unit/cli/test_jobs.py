"""Jobs and review by command."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from shiwu.cli.app import app


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures, of which one is a smaller copy of another."""
    monkeypatch.setenv("JOBS_HOME", str(tmp_path / "jobs"))
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "pictures"
    folder.mkdir()
    draw = np.random.default_rng(2)
    one, other = (
        cv2.resize(draw.integers(0, 255, (6, 6, 3), np.uint8), (200, 160), interpolation=cv2.INTER_CUBIC) for _ in "ab"
    )
    for name, picture in (("one", one), ("other", other), ("copy", cv2.resize(one, (100, 80)))):
        cv2.imwrite(str(folder / f"{name}.jpg"), picture)
    return folder


def shiwu(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_job_is_run_shown_and_its_proposals_decided(pictures: Path) -> None:
    ran = shiwu("jobs", "run", "dedup", "--set", f"source={pictures}", "--set", "near.radius=6", "--id", "mine")
    assert (ran.exit_code, "mine: done" in ran.output) == (0, True), ran.output
    assert "mine" in shiwu("jobs", "list").output
    shown = shiwu("jobs", "show", "mine").output
    assert re.search(r"hashes\W+1 of 1\W+3\b", shown), shown
    assert shiwu("jobs", "dead", "mine").exit_code == 0
    assert "done" in shiwu("jobs", "resume", "mine").output

    listed = shiwu("review", "list", "--kind", "duplicate").output
    assert "image_id: copy.jpg" in listed
    (proposal,) = re.findall(r"\b[0-9a-f]{32}\b", listed)
    assert shiwu("review", "reject", proposal, "--note", "no").exit_code == 0
    assert '"note": "no"' in shiwu("review", "show", proposal).output
    again = shiwu("review", "accept", proposal)
    assert (again.exit_code, "was rejected by" in again.output) == (2, True)
    assert "0 accepted" in shiwu("review", "accept-above", "0.5", "--kind", "duplicate").output


def test_a_job_that_waits_for_workers_can_be_cancelled(pictures: Path) -> None:
    asked = shiwu("jobs", "run", "dedup", "--set", f"source={pictures}", "--id", "later", "--detach")
    assert asked.output.strip() == "later"
    assert "waiting" in shiwu("jobs", "list").output
    assert shiwu("jobs", "cancel", "later").exit_code == 0
    assert "cancelled" in shiwu("jobs", "show", "later").output


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("jobs", "run", "nothing"), 2, "there is no job 'nothing'; known: dedup"),
        (("jobs", "run", "dedup", "--set", "source"), 2, "'source' sets nothing; expected name=value"),
        (("jobs", "run", "dedup", "--set", "near=5"), 2, "options of dedup are wrong"),
        (("jobs", "run", "dedup", "--options", "/nowhere.yaml"), 2, "cannot be read as YAML"),
        (("jobs", "show", "nothing"), 2, "there is no job 'nothing'"),
        (("review", "list", "--kind", "x"), 2, "there is no kind 'x' of proposals; expected duplicate"),
        (("review", "list", "--state", "x"), 2, "'x' is no state"),
        (("review", "accept", "x"), 2, "there is no proposal 'x'"),
        (("review", "apply", "--catalog", "127.0.0.1:1"), 0, "nothing to apply"),
    ],
)
def test_mistakes_are_told(pictures: Path, arguments: tuple[str, ...], code: int, problem: str) -> None:
    result = shiwu(*arguments)
    assert (result.exit_code, problem in result.output) == (code, True), result.output


def test_a_source_that_does_not_exist_leaves_a_job_that_can_be_tried_again(pictures: Path) -> None:
    ran = shiwu("jobs", "run", "dedup", "--set", f"source={pictures.parent / 'nowhere'}", "--id", "early")
    assert (ran.exit_code, "does not exist" in ran.output) == (4, True), ran.output
    pictures.rename(pictures.parent / "nowhere")
    assert shiwu("jobs", "resume", "early").exit_code == 0

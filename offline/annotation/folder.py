"""Rounds on disk: a folder each, written whole, so that work that was cut goes on after the last finished round.

round-00/round.json      precision, verdict, calibration, answers that it trained on
         labels.jsonl    a line for each picture: believed and confirmed boxes, ignored regions
         proposals.jsonl a line for each question, the one that is worth most first
         model/          what the trainer writes
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from offline.annotation.calibration import Calibration
from offline.annotation.material import Boxed
from offline.annotation.proposals import Proposal
from offline.annotation.rounds import Answer, Model, Round, Trainer
from offline.training.detector.targets import Truth

_ROUND: Final = "round.json"
_LABELS: Final = "labels.jsonl"
_PROPOSALS: Final = "proposals.jsonl"
_MODEL: Final = "model"
_PARTIAL: Final = ".partial"


class RoundsError(ValueError):
    """A folder of rounds is not what it should be."""


def write_round(folder: Path, done: Round, trainer: Trainer[Model], model: Model) -> Path:
    """Writes the round beside its place, and moves it there when it is whole; its folder."""
    place = round_folder(folder, done.number)
    partial = place.with_name(place.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    (partial / _MODEL).mkdir(parents=True)
    trainer.save(model, partial / _MODEL)
    facts = {
        "number": done.number,
        "precision": done.precision,
        "verdict": done.verdict,
        "calibration": asdict(done.calibration),
        "answers": [asdict(answer) for answer in done.answers],
    }
    (partial / _ROUND).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    _write_lines(partial / _LABELS, (_label(each) for each in done.labels))
    _write_lines(partial / _PROPOSALS, (asdict(each) for each in done.proposals))
    partial.replace(place)
    return place


def read_rounds(folder: Path) -> list[Round]:
    """The finished rounds, in order; none where there is no folder.

    Raises RoundsError naming the file that cannot be read, or the round that is missing.
    """
    places = sorted(place for place in folder.glob("round-*") if not place.name.endswith(_PARTIAL))
    expected = [round_folder(folder, number) for number in range(len(places))]
    if places != expected:
        missing = next(place for place in expected if place not in places)
        msg = f"{missing} is missing, though there are later rounds"
        raise RoundsError(msg)
    return [_read(place) for place in places]


def round_folder(folder: Path, number: int) -> Path:
    return folder / f"round-{number:02d}"


def model_folder(folder: Path) -> Path:
    """Of the model that the rounds end with, or, in a round's folder, of the round's own."""
    return folder / _MODEL


def write_model(folder: Path, trainer: Trainer[Model], model: Model) -> None:
    """Writes the model that the rounds end with, in place of one of before."""
    place = model_folder(folder)
    partial = place.with_name(_MODEL + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    trainer.save(model, partial)
    shutil.rmtree(place, ignore_errors=True)
    partial.replace(place)


def _read(place: Path) -> Round:
    try:
        facts = json.loads((place / _ROUND).read_text(encoding="utf-8"))
        calibration = facts["calibration"]
        return Round(
            number=facts["number"],
            precision=facts["precision"],
            verdict=facts["verdict"],
            answers=tuple(Answer(**{**each, "box": tuple(each["box"])}) for each in facts["answers"]),
            calibration=Calibration(tuple(calibration["slopes"]), tuple(calibration["intercepts"])),
            labels=tuple(_boxed(row) for row in _lines(place / _LABELS)),
            proposals=tuple(Proposal(**row) for row in _lines(place / _PROPOSALS)),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        msg = f"{place} does not hold a round: {error!r}"
        raise RoundsError(msg) from error


def _label(each: Boxed) -> dict[str, Any]:
    truth = each.truth
    return {
        "picture": each.picture,
        "boxes": truth.boxes.tolist(),
        "categories": truth.categories.tolist(),
        "ignored": truth.ignored.tolist(),
    }


def _boxed(row: dict[str, Any]) -> Boxed:
    boxes, ignored = (np.array(row[key], np.float32).reshape(-1, 4) for key in ("boxes", "ignored"))
    return Boxed(row["picture"], Truth(boxes, np.array(row["categories"], np.int64), ignored))


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _lines(path: Path) -> Sequence[dict[str, Any]]:
    # Not splitlines(): a name may hold a line separator of Unicode.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]

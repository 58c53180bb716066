"""`python -m offline.annotation ROUNDS.yaml --data DIR`: boxes for the pictures of a folder from boxes for some.

DIR/images holds the pictures, DIR/boxes.json (COCO) what people drew on some of them. Each round is a folder below
--runs; a command that was stopped goes on after the last one. Answers to a round's proposals.jsonl are read from
--decisions before the next. When the rounds end, RUNS/labels.json has all boxes of the best one, and RUNS/model is
trained on them and on the pictures held back.

`python -m offline.annotation convert --from voc --to coco SRC DST`: boxes in another format.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2

from offline.annotation import coco
from offline.annotation.config import Settings
from offline.annotation.convert import FORMATS, convert
from offline.annotation.folder import RoundsError, model_folder, read_rounds, write_model, write_round
from offline.annotation.labels import LabelError
from offline.annotation.project import Project, read_answers
from offline.annotation.rounds import Answer, Round, best_of, ended, finish, play, with_answers
from offline.training.typed_yaml import YamlError, read_yaml, write_yaml

_SETTINGS: Final = "settings.yaml"
_LABELS: Final = "labels.json"


def main(arguments: Sequence[str]) -> None:
    try:
        if arguments[:1] == ["convert"]:
            _convert(arguments[1:])
        else:
            _rounds(arguments)
    except (LabelError, RoundsError, YamlError) as error:
        raise SystemExit(str(error)) from error


def _convert(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m offline.annotation convert", description=convert.__doc__)
    parser.add_argument("--from", dest="source_format", choices=FORMATS, required=True)
    parser.add_argument("--to", dest="target_format", choices=FORMATS, required=True)
    parser.add_argument("source", type=Path, help="folder (voc, yolo) or file (coco)")
    parser.add_argument("target", type=Path, help="the same; must not exist yet")
    parser.add_argument("--pictures", type=Path, help="folder of the pictures, for yolo if it is not SRC/images")
    parser.add_argument("--drop-ignored", action="store_true", help="leave out boxes that yolo cannot hold")
    options = parser.parse_args(arguments)
    labels = convert(
        options.source,
        options.source_format,
        options.target,
        options.target_format,
        pictures=options.pictures,
        drop_ignored=options.drop_ignored,
    )
    boxes = sum(len(picture.boxes) for picture in labels.pictures)
    print(f"{boxes} boxes of {len(labels.labels)} categories in {len(labels.pictures)} pictures -> {options.target}")


def _rounds(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m offline.annotation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", type=Path, help="typed YAML; see config.py")
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and boxes.json")
    parser.add_argument("--runs", type=Path, default=Path("runs/annotation"), help="folder of the rounds")
    parser.add_argument("--decisions", type=Path, help="JSON lines of answers: subject, accepted")
    parser.add_argument("--once", action="store_true", help="stop after one round, so that people can answer")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(0)
    # The network is imported late: converting needs none.
    from offline.annotation.heads import HeadTrainer  # noqa: PLC0415

    settings = read_yaml(options.settings, Settings, "settings of annotation")
    project = Project.open(options.data, settings)
    done = read_rounds(options.runs)
    _keep_settings(settings, options.runs / _SETTINGS, started=bool(done))
    trainer = HeadTrainer(project.picture, len(project.names), settings.heads)

    def ask(_: Sequence[Round]) -> tuple[Answer, ...]:
        return read_answers(options.decisions, project.names) if options.decisions else ()

    for each, model in play(trainer, project.material, project.names, settings, ask, done):
        place = write_round(options.runs, each, trainer, model)
        done.append(each)
        print(_line(each, place))
        if options.once:
            break
    if ended(done, settings.stopping):
        best, answers = best_of(done), ask(done)
        coco.write(project.labelled(with_answers(best.labels, answers)), options.runs / _LABELS)
        model = finish(trainer, project.material, best, answers, settings.seed)
        write_model(options.runs, trainer, model)
        print(f"best: round {best.number}; boxes: {options.runs / _LABELS}, model: {model_folder(options.runs)}")


def _keep_settings(settings: Settings, path: Path, *, started: bool) -> None:
    """Keeps them beside the rounds. Raises RoundsError if the rounds so far had others."""
    if not started:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_yaml(settings, path)
    elif read_yaml(path, Settings, "settings of annotation") != settings:
        msg = f"the rounds in {path.parent} had other settings ({path}); choose another --runs"
        raise RoundsError(msg)


def _line(done: Round, place: Path) -> str:
    boxes = sum(len(each.truth.boxes) for each in done.labels)
    return (
        f"round {done.number}: AP {done.precision:.3f} on pictures held back, {done.verdict}; {boxes} boxes believed, "
        f"{len(done.answers)} answers heard, {len(done.proposals)} questions -> {place}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])

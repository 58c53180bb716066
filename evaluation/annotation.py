"""What self-training saves of the work of boxing pictures, against drawing all boxes and against drawing none.

python -m evaluation.annotation --data DIR [--sets ycb coco emoji] [--seconds-drawn 35] [--seconds-confirmed 4]

For each share of the pool boxed by hand: a detector trained on these boxes only; rounds of self-training from them;
rounds in which people also answer questions; and class activation maps, which see no boxes at all. Average precision
is on test pictures of objects and on backgrounds that are on no picture of the pool. Every finished run stands in
docs/annotation.jsonl, so that a command that was stopped goes on; the page's measured part and its pictures are
written anew each time, and printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch

from evaluation.annotation_report import Entry, Rates, draw_curve, measured_lines
from evaluation.annotation_sets import StudySet, coco, emoji, ycb
from evaluation.annotation_views import draw_maps
from evaluation.pages import write_section
from offline.annotation.cam import SHARE, CamTrainer
from offline.annotation.config import Heads, Settings, Stopping
from offline.annotation.folder import read_rounds, write_round
from offline.annotation.heads import HeadTrainer
from offline.annotation.material import Boxed
from offline.annotation.project import split
from offline.annotation.proposals import Order
from offline.annotation.rounds import Answer, Ask, Model, Round, Trainer, best_of, finish, nobody, play
from offline.training.detector.measures import IOUS, Case, average_precision, mean_average_precision
from shiwu.vision import boxes as geometry

SHARES: Final = (0.1, 0.25, 0.5, 1.0)
_ASKED_FROM: Final = 0.1
"""The share at which people answer questions, in each of the orders."""
_ORDERS: Final[tuple[Order, ...]] = ("worth", "random", "sure")
_QUESTIONS: Final = 60
_KEPT: Final = 5000
_MAPS: Final = "annotation-cam.png"


@dataclass(frozen=True)
class Study:
    """One set and where its runs are kept. trained, maps: made when first needed, as features take a while."""

    of: StudySet
    runs: Path
    settings: Settings
    trained: Callable[[], HeadTrainer]
    maps: Callable[[], CamTrainer]


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    ledger = options.page.with_suffix(".jsonl")
    heads = Heads(steps=options.steps, batch=options.batch, kept=_KEPT)
    settings = Settings(heads=heads, stopping=Stopping(rounds=options.rounds))
    for name in options.sets:
        of = _set(name, options)
        study = Study(
            of,
            options.runs / name,
            settings,
            _once(lambda of=of: HeadTrainer(of.pictures.__getitem__, len(of.names), settings.heads)),  # type: ignore[misc]
            _once(lambda of=of: CamTrainer(of.pictures.__getitem__, len(of.kinds), _KEPT)),  # type: ignore[misc]
        )
        for key, run in _runs(study, options.shares):
            if key not in read_ledger(ledger):
                _add(ledger, key, run())
        if name == "emoji":
            _draw(study, options.page.with_name(_MAPS))
    entries = list(read_ledger(ledger).values())
    draw_curve(entries, options.page.with_suffix(".png"))
    machine = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} shared {platform.machine()} cores, one thread"
    rates, maps = Rates(options.seconds_drawn, options.seconds_confirmed), options.page.with_name(_MAPS)
    lines = measured_lines(entries, rates, machine, maps if maps.exists() else None)
    write_section(options.page, "measured", lines)
    print("\n".join(lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--sets", nargs="*", default=("ycb", "coco", "emoji"), choices=("ycb", "coco", "emoji"))
    parser.add_argument("--shares", nargs="*", type=float, default=SHARES, help="boxed by hand, 0 to 1")
    parser.add_argument("--pool", type=int, default=400, help="composites that people could box")
    parser.add_argument("--test", type=int, default=200, help="composites to measure on")
    parser.add_argument("--steps", type=int, default=200, help="of each training")
    parser.add_argument("--batch", type=int, default=16, help="pictures of a step")
    parser.add_argument("--rounds", type=int, default=4, help="at most")
    parser.add_argument("--seconds-drawn", type=float, default=35.0, help="a box drawn by hand takes")
    parser.add_argument("--seconds-confirmed", type=float, default=4.0, help="a yes or no to a box takes")
    parser.add_argument("--runs", type=Path, default=Path("runs/annotation-study"), help="folder of the rounds")
    parser.add_argument("--cache", type=Path, default=Path(".cache/emoji"), help="folder of the npm package")
    parser.add_argument("--page", type=Path, default=Path("docs/annotation.md"), help="pictures and ledger beside it")
    return parser.parse_args()


def _set(name: str, options: argparse.Namespace) -> StudySet:
    if name == "coco":
        return coco(options.data)
    if name == "ycb":
        return ycb(options.data, options.pool, options.test)
    return emoji(options.cache, options.pool // 2, options.test // 2)


def _runs(study: Study, shares: Sequence[float]) -> list[tuple[str, Callable[[], Entry]]]:
    """All runs of a study with keys that change with whatever would change their outcome."""
    runs: list[tuple[str, Callable[[], Entry]]] = []

    heads, rule = study.settings.heads, study.settings.acceptance
    size = f"{len(study.of.pool)}/{len(study.of.test)} {heads.steps}x{heads.batch}"

    def add(method: str, share: float, run: Callable[[], Entry]) -> None:
        believing = {"supervised": "", "CAM": f" {SHARE:g}"}.get(method, f" {rule.accept:g} at {rule.iou:g}")
        runs.append((f"{study.of.name} {size} {method}{believing} {share:g}", run))

    for share in shares:
        add("supervised", share, lambda s=share: _supervised(study, s))  # type: ignore[misc]
    for share in shares:
        add("CAM", share, lambda s=share: _cam(study, s))  # type: ignore[misc]
    for share in shares:
        # With every picture boxed there is nothing to predict.
        if share < 1.0:
            add("self-training", share, lambda s=share: _self_training(study, s, None))  # type: ignore[misc]
    if study.of.name.startswith("YCB"):
        for order in _ORDERS:
            add(f"people, {order}", _ASKED_FROM, lambda o=order: _self_training(study, _ASKED_FROM, o))  # type: ignore[misc]
    return runs


def _hand(study: Study, share: float) -> Sequence[Boxed]:
    return study.of.pool[: round(share * len(study.of.pool))]


def _supervised(study: Study, share: float) -> Entry:
    """All boxes drawn by hand are trained on: nothing has to be calibrated or guarded."""
    hand, trainer, began = _hand(study, share), study.trained(), time.monotonic()
    model = trainer.train(hand, study.settings.seed)
    return _entry(study, "supervised", share, trainer, model, began, drawn=_boxes(hand))


def _cam(study: Study, share: float) -> Entry:
    """People tell the categories of this share of the pictures, and draw nothing."""
    trainer, began = study.maps(), time.monotonic()
    model = trainer.train(study.of.told[: round(share * len(study.of.told))], study.settings.seed)
    return _entry(study, "CAM", share, trainer, model, began, drawn=0)


def _self_training(study: Study, share: float, order: Order | None) -> Entry:
    """Rounds from this share on; with an order people answer questions asked in it."""
    method = "self-training" if order is None else f"people, {order}"
    acceptance = study.settings.acceptance.model_copy(update={"questions": _QUESTIONS, "order": order or "worth"})
    settings = study.settings.model_copy(update={"acceptance": acceptance})
    hand, trainer, began = _hand(study, share), study.trained(), time.monotonic()
    rest = [each.picture for each in study.of.pool[len(hand) :]]
    material = split(hand, rest, settings)
    folder = study.runs / f"{method.replace(', ', '-')}-{share:g}"
    done = read_rounds(folder)
    ask = nobody if order is None else _oracle(study.of, settings.acceptance.iou)
    for each, model in play(trainer, material, study.of.names, settings, ask, done):
        write_round(folder, each, trainer, model)
        done.append(each)
    best = best_of(done)
    model = finish(trainer, material, best, best.answers, settings.seed)
    facts = {
        "drawn": _boxes(hand),
        "answers": len(best.answers),
        "confirmed": sum(answer.right for answer in best.answers),
        "rounds": [[each.precision, each.verdict] for each in done],
        **_believed(study.of, best),
    }
    return _entry(study, method, share, trainer, model, began, **facts)


def _oracle(of: StudySet, iou: float) -> Ask:
    """A person who is always right: yes to a box that overlaps one of its category by `iou`."""
    truths = {each.picture: each.truth for each in of.pool}

    def ask(done: Sequence[Round]) -> list[Answer]:
        said = list(done[-1].answers) if done else []
        for each in done[-1].proposals if done else ():
            picture, category = each.subject["image_id"], of.names.index(each.subject["category"])
            truth = truths[picture]
            wanted = truth.boxes[truth.categories == category]
            overlaps = geometry.iou(np.array([each.subject["box"]], np.float32), wanted)
            said.append(Answer(picture, tuple(each.subject["box"]), category, bool(overlaps.max(initial=0.0) >= iou)))
        return said

    return ask


def _believed(of: StudySet, done: Round) -> dict[str, Any]:
    """How many boxes the round took for granted or had confirmed, and how many of them are right (IoU .5)."""
    truths = {each.picture: each.truth for each in of.pool}
    right = count = 0
    for each in done.labels:
        truth = truths[each.picture]
        same = each.truth.categories[:, None] == truth.categories[None]
        right += int((same & (geometry.iou(each.truth.boxes, truth.boxes) >= 0.5)).any(axis=1).sum())
        count += len(each.truth.boxes)
    return {"believed": count, "believed_right": right}


def _boxes(boxed: Sequence[Boxed]) -> int:
    return sum(len(each.truth.boxes) for each in boxed)


def _entry(
    study: Study, method: str, share: float, trainer: Trainer[Model], model: Model, began: float, **facts: Any
) -> Entry:
    """Measures the model on the test pictures."""
    names = study.of.names
    found = trainer.predict(model, [each.picture for each in study.of.test])
    cases = [Case(0, 0, each.truth, one) for each, one in zip(study.of.test, found, strict=True)]
    return Entry(
        of=study.of.name,
        method=method,
        share=share,
        pool=study.of.boxes,
        any_category=average_precision(cases),
        strict=average_precision(cases, ious=IOUS),
        categories=mean_average_precision(cases, range(len(names))) if len(names) > 1 else None,
        minutes=round((time.monotonic() - began) / 60, 2),
        **facts,
    )


def _draw(study: Study, out: Path) -> None:
    """Maps and boxes of models trained on all of the pool, for pictures that may be shown."""
    cam, heads, seed = study.maps(), study.trained(), study.settings.seed
    draw_maps(study.of, (cam, cam.train(study.of.told, seed)), (heads, heads.train(study.of.pool, seed)), out)


def read_ledger(path: Path) -> dict[str, Entry]:
    """Entries by key; none when there is no file."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row.pop("key"): Entry.of_row(row) for row in rows}


def _add(path: Path, key: str, entry: Entry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"key": key, **asdict(entry)}) + "\n")


def _once(make: Callable[[], Any]) -> Callable[[], Any]:
    made: list[Any] = []

    def get() -> Any:
        if not made:
            made.append(make())
        return made[0]

    return get


if __name__ == "__main__":
    main()

"""Rounds of self-training with people in them (Lee, Pseudo-Label, 2013; Rosenberg et al., WACV 2005).

A round trains on what is known, measures itself on pictures that people boxed and that it never trains on, calibrates
its scores on them, and predicts the rest. Boxes that are probably right are taken, doubtful ones are asked about, and
the next round trains on the outcome. It ends when the gain stops, or at once when a round is worse than the best: a
model that learns its own mistakes gets surer of them.

Everything here is a function of its arguments; the trainer alone knows pixels and networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from offline.annotation.calibration import Calibration, calibrate
from offline.annotation.config import Acceptance, Settings, Stopping
from offline.annotation.material import Boxed, Material
from offline.annotation.proposals import Doubtful, Proposal, rank
from offline.training.detector.measures import IOU, Case, Detections, mean_average_precision
from offline.training.detector.targets import Truth
from shiwu.vision import boxes as geometry
from shiwu.vision.boxes import Boxes

Model = TypeVar("Model")

Verdict = Literal["kept", "no gain", "drift"]

_SAME: Final = 0.5
"""A prediction that overlaps an answered box of its category by more is that box again, and not asked about."""
_NONE: Final = np.zeros((0, 4), np.float32)


class Trainer(Protocol[Model]):
    """Makes detectors. The same boxes and seed give the same model."""

    def train(self, boxed: Sequence[Boxed], seed: int) -> Model: ...

    def predict(self, model: Model, pictures: Sequence[str]) -> list[Detections]:
        """Boxes in pixels of each picture, with scores in 0..1 and indices of categories."""
        ...

    def save(self, model: Model, folder: Path) -> None: ...

    def load(self, folder: Path) -> Model: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said of a box."""

    picture: str
    box: tuple[float, float, float, float]
    category: int
    right: bool


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to; all that the next one needs."""

    number: int
    precision: float
    """Mean over categories of the average precision (IoU .5) on the pictures held back."""
    verdict: Verdict
    """kept: better than before by the gain that is asked for; drift: thrown away."""
    answers: tuple[Answer, ...]
    """That it trained on."""
    calibration: Calibration
    labels: tuple[Boxed, ...]
    """Unlabelled pictures with boxes that are believed or confirmed, or with doubtful regions, which are ignored; those
    without boxes are not trained on, but an answer may give them one. None after drift."""
    proposals: tuple[Proposal, ...]


Ask = Callable[[Sequence[Round]], Sequence[Answer]]
"""All answers that there are by now, given the rounds so far: those of earlier rounds, too."""


def nobody(_: Sequence[Round]) -> tuple[Answer, ...]:
    """Self-training without people."""
    return ()


def play(
    trainer: Trainer[Model],
    material: Material,
    names: Sequence[str],
    settings: Settings,
    ask: Ask = nobody,
    past: Sequence[Round] = (),
) -> Iterator[tuple[Round, Model]]:
    """The rounds after `past`, each with its model, until they end.

    names: of the categories. With the rounds so far as `past` it goes on as if it had never been stopped.
    """
    done = list(past)
    held = [each.picture for each in material.held_back]
    while not ended(done, settings.stopping):
        number = len(done)
        answers = tuple(ask(done))
        known = with_answers(done[-1].labels if done else (), answers)
        model = trainer.train([*material.hand, *known], settings.seed + number)
        found = trainer.predict(model, held)
        cases = [_case(each.truth, of_one) for each, of_one in zip(material.held_back, found, strict=True)]
        precision = mean_average_precision(cases, range(len(names)), (IOU,)).value
        calibration = calibrate(cases, len(names), settings.acceptance.iou)
        verdict = judged(precision, done, settings.stopping)
        labels: tuple[Boxed, ...] = ()
        proposals: tuple[Proposal, ...] = ()
        if verdict != "drift":
            predicted = trainer.predict(model, material.unlabelled)
            sorted_ = sort_out(material.unlabelled, predicted, calibration, answers, settings.acceptance)
            labels = sorted_.labels
            counts = _counts(material.hand, answers, len(names))
            proposals = _proposals(sorted_.doubtful, counts, names, settings, number)
        done.append(Round(number, precision, verdict, answers, calibration, labels, proposals))
        yield done[-1], model


def judged(precision: float, past: Sequence[Round], stopping: Stopping) -> Verdict:
    """What a round with this precision is after the rounds in `past`."""
    if not past:
        return "kept"
    best = max(each.precision for each in past)
    if precision < best - stopping.drift:
        return "drift"
    return "kept" if precision >= best + stopping.gain else "no gain"


def ended(past: Sequence[Round], stopping: Stopping) -> bool:
    """Whether there is nothing left to do after these rounds."""
    if not past:
        return False
    idle = len(past) - 1 - max(each.number for each in past if each.verdict == "kept")
    return past[-1].verdict == "drift" or idle >= stopping.patience or len(past) >= stopping.rounds


def best_of(past: Sequence[Round]) -> Round:
    """The round whose model and labels are to be used: the first of the highest precision."""
    return max(past, key=lambda each: each.precision)


def finish(trainer: Trainer[Model], material: Material, best: Round, answers: Sequence[Answer], seed: int) -> Model:
    """A last training on the labels of the best round, what people said, and the pictures held back until now.

    Nothing is left to measure it on; it differs from what was measured only by more boxes that people drew.
    """
    return trainer.train([*material.hand, *material.held_back, *with_answers(best.labels, answers)], seed)


@dataclass(frozen=True, slots=True)
class Sorted:
    labels: tuple[Boxed, ...]
    doubtful: Doubtful


def sort_out(
    pictures: Sequence[str],
    found: Sequence[Detections],
    calibration: Calibration,
    answers: Sequence[Answer],
    rule: Acceptance,
) -> Sorted:
    """Which predictions are believed, which are asked about, and what the pictures then teach.

    A person's word stands: what was confirmed is a box, what was refused is not, and neither is asked about again.
    """
    said = _by_picture(answers)
    labels: list[Boxed] = []
    doubts: list[tuple[str, Detections, NDArray[np.float64]]] = []
    for picture, of_one in zip(pictures, found, strict=True):
        own = said.get(picture, [])
        new = _only(of_one, ~_answered(of_one, own))
        odds = calibration.probabilities(new.scores, new.categories)
        sure, doubtful = odds >= rule.accept, (odds >= rule.doubt) & (odds < rule.accept)
        truth = _joined(own, _only(new, sure), new.boxes[doubtful])
        if len(truth.boxes) + len(truth.ignored):
            labels.append(Boxed(picture, truth))
        if doubtful.any():
            doubts.append((picture, _only(new, doubtful), odds[doubtful]))
    return Sorted(tuple(labels), _gathered(doubts))


def with_answers(labels: Sequence[Boxed], answers: Sequence[Answer]) -> list[Boxed]:
    """The labels with what people have said since: confirmed boxes are added, refused ones withdrawn."""
    said = _by_picture(answers)
    truths = {each.picture: each.truth for each in labels}
    known: list[Boxed] = []
    for picture in sorted({*truths, *said}):
        own = said.get(picture, [])
        truth = truths.get(picture, Truth(_NONE, np.zeros(0, np.int64), _NONE))
        taken = Detections(truth.boxes, np.ones(len(truth.boxes), np.float32), truth.categories)
        open_ = truth.ignored[geometry.iou(truth.ignored, _told(own)[0]).max(axis=1, initial=0.0) < _SAME]
        merged = _joined(own, _only(taken, ~_answered(taken, own)), open_)
        if len(merged.boxes):
            known.append(Boxed(picture, merged))
    return known


def _joined(own: Sequence[Answer], sure: Detections, ignored: Boxes) -> Truth:
    """Confirmed boxes, then those that are believed. Refused ones are ignored: there may be a thing, boxed badly."""
    right = np.array([answer.right for answer in own], bool)
    boxes, categories = _told(own)
    return Truth(
        np.concatenate([boxes[right], sure.boxes]),
        np.concatenate([categories[right], sure.categories]),
        np.concatenate([boxes[~right], ignored]),
    )


def _answered(found: Detections, own: Sequence[Answer]) -> NDArray[np.bool_]:
    """Which of the boxes people have already spoken about, (n,): where one is confirmed, no other category is."""
    boxes, categories = _told(own)
    right = np.array([answer.right for answer in own], bool)
    same = (found.categories[:, None] == categories[None]) | right[None]
    again: NDArray[np.bool_] = (same & (geometry.iou(found.boxes, boxes) >= _SAME)).any(axis=1)
    return again


def _told(own: Sequence[Answer]) -> tuple[Boxes, NDArray[np.int64]]:
    """Boxes and categories of answers."""
    boxes = np.array([answer.box for answer in own], np.float32).reshape(-1, 4)
    return boxes, np.array([answer.category for answer in own], np.int64)


def _by_picture(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    said: dict[str, list[Answer]] = {}
    for answer in answers:
        said.setdefault(answer.picture, []).append(answer)
    return said


def _gathered(doubts: Sequence[tuple[str, Detections, NDArray[np.float64]]]) -> Doubtful:
    return Doubtful(
        [picture for picture, found, _ in doubts for _ in found.scores],
        np.concatenate([_NONE, *(found.boxes for _, found, _ in doubts)]),
        np.concatenate([np.zeros(0, np.int64), *(found.categories for _, found, _ in doubts)]),
        np.concatenate([np.zeros(0, np.float32), *(found.scores for _, found, _ in doubts)]),
        np.concatenate([np.zeros(0), *(odds for _, _, odds in doubts)]),
    )


def _proposals(
    doubtful: Doubtful, counts: Sequence[int], names: Sequence[str], settings: Settings, number: int
) -> tuple[Proposal, ...]:
    rule = settings.acceptance
    ranked = rank(doubtful, counts, rule.order, settings.seed + number)
    return tuple(
        Proposal(
            subject={
                "image_id": doubtful.pictures[i],
                "category": names[doubtful.categories[i]],
                "box": [int(v) for v in doubtful.boxes[i].round()],
            },
            score=round(value, 6),
            evidence={
                "score": round(float(doubtful.scores[i]), 6),
                "probability": round(float(doubtful.probabilities[i]), 6),
                "round": number,
            },
        )
        for i, value in ranked[: rule.questions]
    )


def _counts(hand: Sequence[Boxed], answers: Sequence[Answer], categories: int) -> list[int]:
    each = [each.truth.categories for each in hand] + [np.array([a.category for a in answers if a.right], np.int64)]
    together = np.concatenate(each)
    return [int(count) for count in np.bincount(together[together >= 0], minlength=categories)]


def _only(found: Detections, chosen: NDArray[np.bool_]) -> Detections:
    return Detections(found.boxes[chosen], found.scores[chosen], found.categories[chosen])


def _case(truth: Truth, found: Detections) -> Case:
    """Precision asks for no sizes of pictures."""
    return Case(0, 0, truth, found)

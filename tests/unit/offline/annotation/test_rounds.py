"""Rounds with a trainer that really learns from boxes."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offline.annotation.calibration import Calibration
from offline.annotation.config import Acceptance, Settings, Stopping
from offline.annotation.folder import RoundsError, model_folder, read_rounds, round_folder, write_round
from offline.annotation.proposals import Doubtful, rank, worth
from offline.annotation.rounds import Answer, Round, best_of, ended, finish, judged, play, sort_out
from offline.training.detector.measures import Case, Detections, mean_average_precision
from offline.training.detector.targets import Truth
from shiwu.vision import boxes as geometry
from tests.unit.offline.annotation.colours import NAMES, ColourTrainer, Histograms, World, world

SETTINGS = Settings(stopping=Stopping(rounds=4, patience=2))
CARELESS = Settings(acceptance=Acceptance(accept=0.02, doubt=0.01))


def precision(trainer: ColourTrainer, model: Histograms, of: World) -> float:
    """On the unlabelled pictures, whose truth the rounds never see."""
    found = trainer.predict(model, of.material.unlabelled)
    cases = [Case(0, 0, of.truths[p], each) for p, each in zip(of.material.unlabelled, found, strict=True)]
    return mean_average_precision(cases, range(len(NAMES))).value


def oracle(of: World):
    """Answers all questions by the truth, once each."""

    def ask(done: Sequence[Round]) -> list[Answer]:
        said = list(done[-1].answers) if done else []
        for each in done[-1].proposals if done else ():
            box, picture = tuple(each.subject["box"]), each.subject["image_id"]
            truth, category = of.truths[picture], NAMES.index(each.subject["category"])
            overlaps = geometry.iou(np.array([box], np.float32), truth.boxes[truth.categories == category])
            said.append(Answer(picture, box, category, bool(overlaps.max(initial=0.0) >= 0.6)))
        return said

    return ask


@pytest.fixture(scope="module")
def small() -> World:
    return world(hand=3)


def test_rounds_gain_on_pictures_that_nobody_boxed(small: World) -> None:
    trainer = ColourTrainer(small.pictures)
    rounds = list(play(trainer, small.material, NAMES, SETTINGS))
    best = best_of([each for each, _ in rounds])
    assert precision(trainer, rounds[best.number][1], small) > precision(trainer, rounds[0][1], small) + 0.1
    assert trainer.trainings == list(range(len(rounds)))
    believed = [each for each in best.labels if len(each.truth.boxes)]
    assert {each.picture for each in believed} <= set(small.material.unlabelled)
    right = [
        geometry.iou(each.truth.boxes, small.truths[each.picture].boxes).max(axis=1, initial=0.0) >= 0.6
        for each in believed
    ]
    assert np.concatenate(right).mean() > 0.8


def test_drift_ends_the_rounds_and_keeps_the_last_good_model(small: World) -> None:
    trainer = ColourTrainer(small.pictures)
    rounds = list(play(trainer, small.material, NAMES, CARELESS))
    last = rounds[-1][0]
    assert last.verdict == "drift"
    assert (last.labels, last.proposals) == ((), ())
    assert best_of([each for each, _ in rounds]).number < last.number
    best = rounds[best_of([each for each, _ in rounds]).number][1]
    assert precision(trainer, best, small) > precision(trainer, rounds[-1][1], small)


def test_answers_help_and_are_never_asked_for_again(small: World) -> None:
    trainer, settings = ColourTrainer(small.pictures), Settings(acceptance=Acceptance(questions=15))
    rounds = list(play(trainer, small.material, NAMES, settings, oracle(small)))
    asked = [
        (each.subject["image_id"], each.subject["category"], each.subject["box"])
        for one, _ in rounds
        for each in one.proposals
    ]
    assert len(asked) >= 20
    for i, (picture, category, box) in enumerate(asked):
        earlier = [b for p, c, b in asked[:i] if (p, c) == (picture, category)]
        assert (
            geometry.iou(np.array([box], np.float32), np.array(earlier, np.float32).reshape(-1, 4)).max(initial=0.0)
            < 0.6
        )
    alone = [model for _, model in play(trainer, small.material, NAMES, settings)]
    assert precision(trainer, rounds[-1][1], small) > precision(trainer, alone[-1], small)


def test_rounds_go_on_from_any_folder_as_if_never_stopped(small: World, tmp_path: Path) -> None:
    trainer, ask = ColourTrainer(small.pictures), oracle(small)
    for each, model in play(trainer, small.material, NAMES, SETTINGS, ask):
        write_round(tmp_path / "whole", each, trainer, model)
    whole = read_rounds(tmp_path / "whole")
    for _ in whole:
        done = read_rounds(tmp_path / "cut")
        # What a killed process leaves behind is no round, and does not hinder the next one.
        rest = round_folder(tmp_path / "cut", len(done)).with_suffix(".partial")
        (rest / "model").mkdir(parents=True)
        each, model = next(play(trainer, small.material, NAMES, SETTINGS, ask, done))
        write_round(tmp_path / "cut", each, trainer, model)
    assert list(play(trainer, small.material, NAMES, SETTINGS, ask, read_rounds(tmp_path / "cut"))) == []
    files = {p.relative_to(tmp_path / "whole"): p.read_bytes() for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    again = {p.relative_to(tmp_path / "cut"): p.read_bytes() for p in (tmp_path / "cut").rglob("*") if p.is_file()}
    assert files == again
    loaded = trainer.load(model_folder(round_folder(tmp_path / "cut", 1)))
    found = trainer.predict(loaded, small.material.unlabelled[:3])
    trained = next(model for n, (_, model) in enumerate(play(trainer, small.material, NAMES, SETTINGS, ask)) if n == 1)
    for a, b in zip(found, trainer.predict(trained, small.material.unlabelled[:3]), strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)


def test_the_last_training_has_all_that_is_known(small: World) -> None:
    trainer = ColourTrainer(small.pictures)
    rounds = list(play(trainer, small.material, NAMES, SETTINGS))
    best = best_of([each for each, _ in rounds])
    last = finish(trainer, small.material, best, [], seed=0)
    assert precision(trainer, last, small) >= precision(trainer, rounds[best.number][1], small)


def test_a_broken_folder_of_rounds_is_named(small: World, tmp_path: Path) -> None:
    trainer = ColourTrainer(small.pictures)
    each, model = next(play(trainer, small.material, NAMES, SETTINGS))
    place = write_round(tmp_path, each, trainer, model)
    facts = json.loads((place / "round.json").read_text())
    (place / "round.json").write_text(json.dumps({k: v for k, v in facts.items() if k != "verdict"}))
    with pytest.raises(RoundsError, match="round-00 does not hold a round: KeyError\\('verdict'\\)"):
        read_rounds(tmp_path)
    place.rename(round_folder(tmp_path, 1))
    with pytest.raises(RoundsError, match="round-00 is missing"):
        read_rounds(tmp_path)


def test_verdicts_and_the_end() -> None:
    stopping = Stopping(rounds=4, gain=0.01, patience=2, drift=0.05)
    blank = Round(0, 0.0, "kept", (), Calibration((), ()), (), ())
    past: list[Round] = []
    for value, verdict, last in [(0.5, "kept", False), (0.51, "kept", False), (0.515, "no gain", False)]:
        assert judged(value, past, stopping) == verdict
        past.append(replace(blank, number=len(past), precision=value, verdict=judged(value, past, stopping)))
        assert ended(past, stopping) == last
    for value, verdict in [(0.512, "no gain"), (0.40, "drift")]:
        assert judged(value, past, stopping) == verdict
        assert ended([*past, replace(blank, number=3, precision=value, verdict=verdict)], Stopping(patience=2))
    assert best_of(past).number == 2
    assert not ended([], stopping)
    assert ended([replace(blank, number=n, precision=n) for n in range(4)], stopping)


def test_boxes_are_believed_asked_about_or_background_by_their_probability() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.5, 0.3, 0.05], np.float32), np.array([0, 0, 1, 0]))
    # Category 1 is right more often than its score says.
    calibration = Calibration((1.0, 1.0), (0.0, 4.0))
    result = sort_out(["a"], [found], calibration, [], Acceptance(accept=0.85, doubt=0.1))
    (label,) = result.labels
    assert label.truth.boxes.tolist() == boxes[[0, 2]].tolist()
    assert label.truth.ignored.tolist() == boxes[[1]].tolist()
    assert result.doubtful.boxes.tolist() == boxes[[1]].tolist()
    said = [
        Answer("a", (0, 0, 10, 10), 0, False),
        Answer("a", (20, 0, 30, 10), 0, True),
        Answer("b", (0, 0, 9, 9), 1, True),
    ]
    nothing = Detections(boxes[:0], found.scores[:0], found.categories[:0])
    result = sort_out(["a", "b", "c"], [found, nothing, nothing], calibration, said, Acceptance())
    one, other = result.labels
    assert one.truth.boxes.tolist() == boxes[[1, 2]].tolist()
    assert one.truth.categories.tolist() == [0, 1]
    assert one.truth.ignored.tolist() == boxes[[0]].tolist()  # refused: there may be something, boxed badly
    assert (other.picture, other.truth.categories.tolist()) == ("b", [1])
    assert len(result.doubtful) == 0
    other_kind = Detections(boxes[[0]], found.scores[[0]], np.array([0]))
    result = sort_out(["b"], [other_kind], calibration, [Answer("b", (0, 0, 10, 10), 1, True)], Acceptance())
    assert result.labels[0].truth.categories.tolist() == [1]  # what a person named is nothing else, too


def test_a_refused_box_is_withdrawn_before_the_next_training() -> None:
    """The trainer sees what people said since the last round, not what the round believed."""
    seen: list[list[Truth]] = []
    of = world(hand=4, unlabelled=10)

    class Watching(ColourTrainer):
        def train(self, boxed, seed):
            seen.append([each.truth for each in boxed[4:]])
            return super().train(boxed, seed)

    def refuse(done: Sequence[Round]) -> list[Answer]:
        return [
            Answer(each.picture, tuple(box), int(category), False)
            for each in (done[0].labels if done else ())
            for box, category in zip(each.truth.boxes.tolist(), each.truth.categories, strict=True)
        ]

    rounds = [each for each, _ in play(Watching(of.pictures), of.material, NAMES, SETTINGS, refuse)]
    assert rounds[0].labels
    assert seen[:2] == [[], []]


def test_worth_prefers_doubt_rare_categories_and_new_pictures() -> None:
    def values(odds, categories=(0, 0), pictures=("a", "b"), known=(5, 5)):
        return worth(pictures, np.array(odds), np.array(categories), known)

    likely, doubtful = values([0.95, 0.4])
    assert likely < doubtful
    hopeless, doubtful = values([0.02, 0.4])
    assert hopeless < doubtful
    common, rare = values([0.4, 0.4], (0, 1), known=(99, 3))
    assert rare == pytest.approx(5 * common)
    first, second = values([0.4, 0.4], pictures=("a", "a"))
    assert second == first / 2
    assert values([1 / np.e])[0] == pytest.approx(1.0)
    assert ((values([0.0, 1.0]) >= 0) & (values([0.0, 1.0]) <= 1)).all()


def test_orders_hold_the_same_questions() -> None:
    rng = np.random.default_rng(0)
    odds = rng.uniform(0.1, 0.9, 20)
    doubtful = Doubtful([f"p{i}" for i in range(20)], np.zeros((20, 4), np.float32), np.zeros(20, int), odds, odds)
    ranked = {order: [i for i, _ in rank(doubtful, [1], order, 0)] for order in ("worth", "random", "sure")}
    assert all(sorted(each) == list(range(20)) for each in ranked.values())
    assert ranked["sure"] == np.argsort(-odds).tolist()
    assert ranked["random"] not in (ranked["sure"], list(range(20)))
    values = worth(doubtful.pictures, odds, doubtful.categories, [1])
    assert [value for _, value in rank(doubtful, [1], "worth", 0)] == sorted(values, reverse=True)

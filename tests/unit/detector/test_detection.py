"""Reading raw heads against a slow and obvious version, and what a broken model gives."""

from __future__ import annotations

import math
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.detector.detection import Detector, Objects
from shiwu.inference import released
from shiwu.inference.manifest import Anchors, DetectorManifest, Preprocessing, read_manifest
from shiwu.inference.opening import open_model
from shiwu.inference.runner import ModelError, Tensors
from shiwu.vision.resize import Placement, fit
from tests.unit.inference import onnx_models

SIZE = 64
LABELS = ("shoes", "bags", "toys", "food")
MANIFEST = DetectorManifest(
    name="heads",
    version="1",
    file="none",
    sha256="0" * 64,
    inputs=(),
    outputs=(),
    preprocessing=Preprocessing(size=SIZE, fit="letterbox"),
    task="detection",
    labels=LABELS,
    anchors=Anchors(strides=(16, 32), sizes=(16.0, 40.0), scales=(1.0,), ratios=(0.5, 2.0)),
    min_score=0.3,
    nms_iou=0.45,
)
ANCHORS = MANIFEST.grid.boxes(SIZE)


class NoRunner:
    """These tests hand the heads over themselves."""

    async def run(self, inputs: Tensors) -> Tensors:
        raise NotImplementedError

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        return


DETECTOR = Detector(MANIFEST, NoRunner())


def read(
    scores: np.ndarray, deltas: np.ndarray, shape=(40, 64), min_score: float = 0.3, max_objects: int = 20
) -> Objects:
    _, placement = fit(np.zeros((*shape, 3), np.uint8), SIZE, "letterbox")
    return DETECTOR.read(scores, deltas, placement, shape, min_score=min_score, max_objects=max_objects)


def obvious(
    scores: np.ndarray, deltas: np.ndarray, shape: tuple[int, int], min_score: float, max_objects: int
) -> list[tuple[list[float], list[float]]]:
    """Anchor by anchor in plain Python: (scores, box) of what is kept, best first."""
    height, width = shape
    scale = SIZE / max(height, width)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (SIZE - inner[0]) // 2, (SIZE - inner[1]) // 2
    found = []
    for i, anchor in enumerate(ANCHORS.tolist()):
        best = max(scores[i].tolist())
        if best < np.float32(min_score):
            continue
        across, down = anchor[2] - anchor[0], anchor[3] - anchor[1]
        x = (anchor[0] + anchor[2]) / 2 + deltas[i][0] * across
        y = (anchor[1] + anchor[3]) / 2 + deltas[i][1] * down
        w = across * math.exp(min(deltas[i][2], math.log(62.5)))
        h = down * math.exp(min(deltas[i][3], math.log(62.5)))
        box = [
            min(max((x - w / 2 - left) / inner[0], 0), 1),
            min(max((y - h / 2 - top) / inner[1], 0), 1),
            min(max((x + w / 2 - left) / inner[0], 0), 1),
            min(max((y + h / 2 - top) / inner[1], 0), 1),
        ]
        if (box[2] - box[0]) * SIZE >= 1 and (box[3] - box[1]) * SIZE >= 1:
            found.append((best, i, box))
    kept: list[tuple[int, list[float]]] = []
    for _, i, box in sorted(found, key=lambda each: (-each[0], each[1])):
        if len(kept) < max_objects and all(overlap(box, other) <= MANIFEST.nms_iou for _, other in kept):
            kept.append((i, box))
    return [(named(scores[i].tolist(), votes_on(i, box, found, scores)), box) for i, box in kept]


def votes_on(
    kept: int, box: list[float], found: list[tuple[float, int, list[float]]], scores: np.ndarray
) -> list[float]:
    votes = [0.0] * scores.shape[1]
    for best, i, other in found:
        if best > 0 and (i == kept or overlap(box, other) > MANIFEST.nms_iou):
            votes = [
                vote + best * score / sum(scores[i].tolist())
                for vote, score in zip(votes, scores[i].tolist(), strict=True)
            ]
    return votes


def named(scores: list[float], votes: list[float]) -> list[float]:
    return [max(scores) * vote / max(votes) if max(votes) else 0.0 for vote in votes]


def overlap(a: list[float], b: list[float]) -> float:
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    busy=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    spread=st.sampled_from([0.0, 0.3, 2.0]),
    shape=st.sampled_from([(40, 64), (64, 40), (30, 500), (64, 64), (900, 700)]),
    min_score=st.sampled_from([0.0, 0.3, 0.9]),
    max_objects=st.sampled_from([1, 3, 100]),
)
def test_equals_the_obvious_version(
    seed: int, busy: float, spread: float, shape: tuple[int, int], min_score: float, max_objects: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.random((len(ANCHORS), 4)) * (rng.random((len(ANCHORS), 1)) < busy)).astype(np.float32)
    deltas = rng.normal(0, spread, (len(ANCHORS), 4)).astype(np.float32)
    objects = read(scores, deltas, shape, min_score, max_objects)
    expected = obvious(scores, deltas, shape, min_score, max_objects)
    np.testing.assert_allclose(objects.scores, np.reshape([named for named, _ in expected], (-1, 4)), atol=1e-6)
    assert np.allclose(objects.boxes, np.array([box for _, box in expected]).reshape(-1, 4), atol=1e-5)
    best = objects.scores.max(axis=1, initial=0)
    assert (np.diff(best) <= 0).all()
    assert (objects.boxes >= 0).all()
    assert (objects.boxes <= 1).all()
    assert (objects.boxes[:, :2] < objects.boxes[:, 2:]).all()


def quiet() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(ANCHORS), 4), np.float32), np.zeros((len(ANCHORS), 4), np.float32)


def test_nothing_found_is_an_empty_answer() -> None:
    objects = read(*quiet())
    assert objects.boxes.shape == (0, 4)
    assert objects.scores.shape == (0, 4)


def test_one_thing_in_two_categories_is_one_object() -> None:
    scores, deltas = quiet()
    first, second = 16, 18  # neighbours in a row
    deltas[second] = [(ANCHORS[first] - ANCHORS[second])[0] / (ANCHORS[second, 2] - ANCHORS[second, 0]), 0, 0, 0]
    scores[first, 0], scores[second, 0] = 0.9, 0.8
    assert read(scores, deltas, (64, 64)).scores.max(axis=1).tolist() == pytest.approx([0.9])
    scores[second] = [0, 0.8, 0, 0]
    assert read(scores, deltas, (64, 64)).scores.max(axis=1).tolist() == pytest.approx([0.9])
    deltas[second] = 0
    assert read(scores, deltas, (64, 64)).scores.max(axis=1).tolist() == pytest.approx([0.9, 0.8])


def test_what_lies_in_the_border_is_left_out() -> None:
    scores, deltas = quiet()
    scores[0, 0] = 0.9  # the top left anchor: above a wide picture
    assert len(read(scores, deltas, (64, 64)).boxes) == 1
    assert len(read(scores, deltas, (8, 64)).boxes) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("head", [0, 1])
def test_numbers_that_are_none_are_never_an_answer(value: float, head: int) -> None:
    heads = quiet()
    heads[head][5, 2] = value
    with pytest.raises(ModelError, match=rf"heads@1 gave 1 numbers in {('scores', 'deltas')[head]} that are NaN"):
        read(*heads)


@pytest.mark.parametrize("value", [1.01, -0.2, 7.0])
def test_scores_that_are_no_probabilities_are_never_an_answer(value: float) -> None:
    scores, deltas = quiet()
    scores[3, 1] = value
    with pytest.raises(ModelError, match="expected 0 to 1"):
        read(scores, deltas)


def test_heads_of_another_shape_are_never_an_answer() -> None:
    scores, deltas = quiet()
    with pytest.raises(ModelError, match=r"gave scores \(40, 3\) and deltas \(40, 4\); expected \(40, 4\)"):
        read(scores[:, :3], deltas)


def test_wild_but_finite_outputs_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((len(ANCHORS), 4)).astype(np.float32)
    deltas = (rng.choice([-1, 1], (len(ANCHORS), 4)) * np.float32(1e38)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objects = read(scores, deltas)
    assert np.isfinite(objects.boxes).all()


async def test_finds_the_coloured_quarters(tmp_path: Path) -> None:
    """The small real model scores each quarter by its colours."""
    manifest = onnx_models.release_detector(tmp_path)
    image = np.zeros((32, 32, 3), np.uint8)
    image[:16, 16:] = (240, 0, 0)
    image[16:, :16] = (0, 0, 250)
    runner = open_model(tmp_path)
    objects = await Detector(manifest, runner).detect(image)
    await runner.close()
    assert objects.boxes.tolist() == [[0, 0.5, 0.5, 1], [0.5, 0, 1, 0.5]]
    assert np.allclose(objects.scores, [[0, 0, 250 / 255], [240 / 255, 0, 0]])


async def test_boxes_are_shares_of_the_picture_not_of_the_letterbox(tmp_path: Path) -> None:
    manifest = onnx_models.release_detector(tmp_path)
    image = np.zeros((30, 60, 3), np.uint8)
    image[:, 30:] = (255, 0, 0)
    runner = open_model(tmp_path)
    objects = await Detector(manifest, runner).detect(image)
    await runner.close()
    assert np.allclose(objects.boxes, [[0.5, 0, 1, 0.5], [0.5, 0.5, 1, 1]])


async def test_nan_out_of_a_real_model_is_an_error(tmp_path: Path) -> None:
    manifest = onnx_models.release_detector(tmp_path)
    runner = open_model(tmp_path)
    with pytest.raises(ModelError, match="detector-small@1 gave 16 numbers in deltas"):
        await Detector(manifest, runner).detect(np.zeros((32, 32, 3), np.uint8))
    await runner.close()


def test_the_released_detectors_heads_are_read_within_a_millisecond() -> None:
    manifest = read_manifest(Path(__file__).parents[3] / "models" / released.DETECTOR)
    assert isinstance(manifest, DetectorManifest)
    detector = Detector(manifest, NoRunner())
    rng = np.random.default_rng(0)
    anchors = len(manifest.grid.boxes(manifest.preprocessing.size))
    scores = (rng.random((anchors, len(manifest.labels))) * 0.15).astype(np.float32)
    hot = rng.choice(anchors, 60, replace=False)  # a busy photo has that many over the threshold
    scores[hot] = rng.random((60, len(manifest.labels)))
    deltas = rng.normal(0, 0.3, (anchors, 4)).astype(np.float32)
    placement = Placement((0.5, 0.5), (0.0, 40.0))
    times = []
    for _ in range(50):
        begin = time.thread_time()
        detector.read(scores, deltas, placement, (480, 640), min_score=0.2, max_objects=20)
        times.append(time.thread_time() - begin)
    assert min(times) < 0.001

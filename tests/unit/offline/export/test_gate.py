from __future__ import annotations

import numpy as np
import pytest

from offline.export.gate import Verdict, compare_boxes, compare_vectors
from shiwu.vision.boxes import Boxes


def unit(n: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def boxes(*rows: tuple[float, float, float, float]) -> Boxes:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_the_same_vectors_agree_whatever_their_length() -> None:
    wanted = unit(40, 0)
    figures = compare_vectors(wanted, wanted * 3)
    assert figures["cosine"] == pytest.approx(1.0)
    assert figures["neighbours"] == 1.0


def test_neighbours_against_a_slow_count() -> None:
    wanted, given = unit(30, 1), unit(30, 1) + unit(30, 2) * 0.4
    kept = 0
    for i in range(30):
        nearest = [
            set(sorted((j for j in range(30) if j != i), key=lambda j: -float(vectors[i] @ vectors[j]))[:10])
            for vectors in (wanted, given)
        ]
        kept += len(nearest[0] & nearest[1])
    assert compare_vectors(wanted, given)["neighbours"] == pytest.approx(kept / 300)


def test_pairs_boxes_one_to_one() -> None:
    wanted = [boxes((0, 0, 10, 10), (20, 20, 30, 30)), boxes()]
    given = [boxes((0, 0, 10, 8), (0, 0, 10, 9), (20, 20, 30, 30)), boxes((1, 1, 5, 5))]
    figures = compare_boxes(iter(wanted), iter(given))
    assert figures["iou"] == pytest.approx((0.9 + 1.0) / 2)
    # 2 pairs; 2 boxes wanted, 4 given.
    assert figures["agreement"] == pytest.approx(2 * 2 / 6)


def test_nothing_found_by_either_proves_nothing() -> None:
    assert compare_boxes(iter([boxes()]), iter([boxes()]))["agreement"] == 0.0


def test_a_fault_names_figure_and_limit() -> None:
    assert Verdict({"cosine": 0.97, "neighbours": 1.0}, {"cosine": 0.98, "neighbours": 0.9}).faults == [
        "cosine 0.9700 < 0.98"
    ]
    assert Verdict({"cosine": float("nan")}, {"cosine": 0.98}).faults == ["cosine nan < 0.98"]

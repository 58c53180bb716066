from __future__ import annotations

import numpy as np

from offline.training.embedder.retrieval import leave_one_out, retrieve


def _unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _slow(queries: np.ndarray, labels: np.ndarray, gallery: np.ndarray, gallery_labels: np.ndarray) -> list[float]:
    """R@1, R@5 and mAP, one query at a time."""
    first, five, precision = [], [], []
    for query, label in zip(queries, labels, strict=True):
        ranked = [x for _, x in sorted(zip(-(gallery @ query), gallery_labels, strict=True), key=lambda pair: pair[0])]
        if label not in ranked:
            continue
        first.append(ranked[0] == label)
        five.append(label in ranked[:5])
        places = [i for i, x in enumerate(ranked, 1) if x == label]
        precision.append(np.mean([n / place for n, place in enumerate(places, 1)]))
    return [float(np.mean(values)) for values in (first, five, precision)]


def test_agrees_with_a_loop_over_queries() -> None:
    labels, gallery_labels = np.array([str(n % 7) for n in range(30)]), np.array([str(n % 6) for n in range(40)])
    queries, gallery = _unit(30, 0), _unit(40, 1)
    report = retrieve(queries, labels, gallery, gallery_labels)
    expected = _slow(queries, labels, gallery, gallery_labels)
    assert report.queries == sum(label != "6" for label in labels)
    np.testing.assert_allclose([report.recall_1.mean, report.recall_5.mean, report.map.mean], expected, rtol=1e-6)
    assert report.recall_1.low <= report.recall_1.mean <= report.recall_1.high


def test_leave_one_out_never_finds_the_query_itself() -> None:
    vectors, labels = _unit(12, 2), np.array(list("aaabbbccddee"))
    report = leave_one_out(vectors, labels)
    rows = [
        _slow(vectors[i : i + 1], labels[i : i + 1], np.delete(vectors, i, 0), np.delete(labels, i)) for i in range(12)
    ]
    measured = [report.recall_1.mean, report.recall_5.mean, report.map.mean]
    np.testing.assert_allclose(measured, np.mean(rows, axis=0), rtol=1e-6)


def test_a_product_seen_once_asks_nothing() -> None:
    assert leave_one_out(_unit(3, 3), np.array(["a", "b", "c"])).queries == 0

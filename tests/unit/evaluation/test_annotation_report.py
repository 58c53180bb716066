"""Hours of people's work, at equal average precision."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.annotation import read_ledger
from evaluation.annotation_report import Entry, Rates, draw_curve, equal_share, measured_lines, saved_hours
from offline.training.detector.measures import Figure

RATES = Rates(drawn=36.0, confirmed=3.6)


def entry(method: str, share: float, value: float, **facts: object) -> Entry:
    figure = Figure(value, value - 0.05, value + 0.05, 100)
    given = {"of": "a set", "pool": 1000, "minutes": 1.0, "drawn": round(1000 * share), **facts}
    return Entry(method=method, share=share, any_category=figure, strict=figure, categories=None, **given)  # type: ignore[arg-type]


SUPERVISED = [entry("supervised", 0.5, 0.6), entry("supervised", 0.1, 0.3), entry("supervised", 1.0, 0.5)]


@pytest.mark.parametrize(("value", "share"), [(0.0, 0.0), (0.15, 0.05), (0.3, 0.1), (0.45, 0.3), (0.6, 0.5)])
def test_the_share_of_equal_precision_lies_between_those_measured(value: float, share: float) -> None:
    assert equal_share(value, SUPERVISED[:2]) == pytest.approx(share)


def test_more_boxes_never_count_as_worse() -> None:
    """0.5 was measured with all boxes, but half of them gave 0.6."""
    assert equal_share(0.5, SUPERVISED) == pytest.approx(0.1 + 0.4 * 2 / 3)
    assert equal_share(0.9, SUPERVISED) == 1.0


def test_hours_are_those_drawn_and_answered() -> None:
    asked = entry("people, worth", 0.1, 0.45, answers=500)
    assert asked.hours(RATES) == pytest.approx(1.0 + 0.5)
    assert saved_hours(asked, SUPERVISED, RATES) == pytest.approx(3.0 - 1.5)
    worse = entry("self-training", 0.1, 0.15)
    assert saved_hours(worse, SUPERVISED, RATES) == pytest.approx(-0.5)


def test_the_page_has_a_row_for_every_run_and_a_curve(tmp_path: Path) -> None:
    tried = entry("self-training", 0.1, 0.45, believed=200, believed_right=150, rounds=[[0.3, "kept"], [0.2, "drift"]])
    entries = [*SUPERVISED, tried, entry("CAM", 0.1, 0.05, drawn=0)]
    text = "\n".join(measured_lines(entries, RATES, "a machine"))
    assert (
        "| 10% | self-training | 0.450 [0.40, 0.50] | 0.450 |  | 75% of 200 |  | 0.30 0.20↓ | 1.00 | +2.00 | 1.0 |"
        in text
    )
    assert text.count("| supervised |") == 3
    draw_curve(entries, tmp_path / "curve.png")
    assert np.ptp(cv2.imread(str(tmp_path / "curve.png"))) > 0
    assert read_ledger(tmp_path / "none.jsonl") == {}

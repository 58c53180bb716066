"""Figures on cases small enough to reckon by hand."""

import numpy as np

from offline.training.detector.measures import (
    IOUS,
    Case,
    Detections,
    average_precision,
    centre_hits,
    hits,
    hits_above,
    hits_any,
    main_category,
    mean_average_precision,
    share,
)
from offline.training.detector.targets import Truth

SMALL, BIG, FAR = [0, 0, 10, 10], [50, 50, 90, 90], [20, 0, 30, 10]


def case(boxes, categories, found, scores, named, ignored=()):
    truth = Truth(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(categories, np.int64),
        np.array(ignored, np.float32).reshape(-1, 4),
    )
    detections = Detections(
        np.array(found, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(named, np.int64)
    )
    return Case(100, 100, truth, detections)


def test_the_main_object_is_the_biggest() -> None:
    one = case([SMALL, BIG], [3, 5], [SMALL, BIG], [0.9, 0.8], [3, 4])
    assert one.main == 1
    assert np.isclose(one.main_share, 0.16)
    assert not hits(one, 1)
    assert hits(one, 2)
    assert hits_any(one)
    assert main_category(one) is False


def test_the_main_category_is_unknown_where_nothing_meets_it() -> None:
    assert main_category(case([BIG], [5], [FAR], [0.9], [5])) is None
    assert main_category(case([BIG], [-1], [BIG], [0.9], [5])) is None


def test_nothing_found_hits_nothing() -> None:
    nothing = case([BIG], [5], [], [], [])
    assert not hits(nothing, 3)
    assert not hits_any(nothing)


def test_centre_crop() -> None:
    assert centre_hits(case([[20, 20, 80, 80]], [1], [], [], []), 0.6)
    assert not centre_hits(case([SMALL], [1], [], [], []), 0.6)


def test_average_precision_by_hand() -> None:
    # Ranked: right, wrong, right, of three products: precision 1 and 2/3, recall in steps of 1/3.
    cases = [
        case([SMALL, BIG], [1, 1], [SMALL, FAR, BIG], [0.9, 0.8, 0.7], [1, 1, 2]),
        case([SMALL], [1], [], [], []),
    ]
    assert np.isclose(average_precision(cases).value, (1 + 2 / 3) / 3)
    assert np.isclose(average_precision(cases, 1).value, 1 / 3)


def test_a_second_find_of_one_product_is_wrong_and_an_ignored_one_neither() -> None:
    twice = [case([BIG], [1], [BIG, BIG], [0.9, 0.8], [1, 1])]
    assert average_precision(twice).value == 1.0
    late = [case([SMALL, BIG], [1, 1], [BIG, BIG, SMALL], [0.9, 0.8, 0.7], [1, 1, 1])]
    assert np.isclose(average_precision(late).value, (1 + 2 / 3) / 2)
    excused = [case([BIG], [1], [FAR, BIG], [0.9, 0.8], [1, 1], [FAR])]
    assert average_precision(excused).value == 1.0


def test_share_has_its_interval() -> None:
    figure = share([1.0] * 30 + [0.0] * 10)
    assert figure.value == 0.75
    assert 0.55 < figure.low < 0.75 < figure.high < 0.92
    assert np.isnan(share([]).value)


def test_stricter_overlaps_by_hand() -> None:
    # The find covers [0, 0, 10, 7.2] of [0, 0, 10, 10]: IoU .72 passes .50, .55, .60, .65 and .70 of ten thresholds.
    cases = [case([SMALL], [1], [[0, 0, 10, 7.2]], [0.9], [1])]
    assert average_precision(cases).value == 1.0
    assert np.isclose(average_precision(cases, ious=IOUS).value, 0.5)


def test_mean_over_the_categories_that_there_are_by_hand() -> None:
    # Category 1: one of two found, AP 1/2. Category 2: wrong, then right, AP 1/2. Category 3: found, AP 1.
    cases = [
        case([SMALL, BIG], [1, 2], [SMALL, FAR, BIG], [0.9, 0.8, 0.7], [1, 2, 2]),
        case([SMALL, BIG], [1, 3], [BIG], [0.9], [3]),
    ]
    assert np.isclose(mean_average_precision(cases, range(11)).value, (1 / 2 + 1 / 2 + 1) / 3)


def test_only_boxes_above_the_threshold_count() -> None:
    one = case([BIG], [1], [SMALL, BIG], [0.9, 0.3], [1, 1])
    assert hits_above(one, 0.3)
    assert not hits_above(one, 0.31)

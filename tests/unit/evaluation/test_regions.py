"""Fitting the choice of a region, on photos whose regions and neighbours are made up."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.looking import compared
from evaluation.photo_sets import PhotoSet, every_second_style, flat
from evaluation.region_fitting import fit_regions, fit_scores, gains_of, logistic, pick
from evaluation.stages import Look
from offline.training.items import Item
from services.gateway.regions import Region
from shiwu.inference.tuning import RegionRule
from tests.unit.evaluation.made_up import WHOLE, entry, photos, unit


def test_a_rule_that_pays_is_found_and_holds_for_products_left_out():
    fit = fit_regions([*photos("a", 1), *photos("b", 2)])
    assert fit.rule is not None
    for gain in fit.gains.values():
        assert gain.recall_1[1] > gain.recall_1[0] + 0.15
        assert not gain.hurts
        assert 0.3 < gain.further < 0.9, "the sure ones are not looked at again"
    unseen = photos("c", 3)
    after = gains_of(unseen, [pick(each, fit.rule) for each in unseen])["c"]
    assert after.recall_1[1] > after.recall_1[0] + 0.15


def test_no_rule_where_there_is_nothing_to_gain():
    assert fit_regions([*photos("a", 1, alike=True), *photos("b", 2, alike=True)]).rule is None


def test_a_kind_that_is_hardly_ever_seen_gets_no_regression():
    scores = fit_scores(photos("a", 1))
    assert "detected" in scores
    assert "second" not in scores


def test_the_regression_finds_the_odds_that_it_was_drawn_from():
    random = np.random.default_rng(5)
    features = np.column_stack([np.ones(40_000), random.normal(size=(40_000, 2))])
    right = random.random(40_000) < 1 / (1 + np.exp(-(features @ np.array([-0.5, 1.5, -1.0]))))
    assert logistic(features, right.astype(float), np.ones(40_000)) == pytest.approx([-0.5, 1.5, -1.0], abs=0.06)


def test_weights_count_like_repetitions():
    random = np.random.default_rng(6)
    features = np.column_stack([np.ones(200), random.normal(size=200)])
    right = (random.random(200) < 0.5).astype(float)
    twice = np.concatenate([features, features[:50]])
    weights = np.where(np.arange(200) < 50, 2.0, 1.0)
    assert logistic(features, right, weights) == pytest.approx(
        logistic(twice, np.concatenate([right, right[:50]]), np.ones(250)), abs=1e-6
    )


def test_a_sure_photo_is_not_looked_at_again():
    looked = photos("a", 1, count=1, missed=0.0)[0]
    rule = RegionRule(scores=fit_scores(photos("b", 2, missed=0.7)), sure=0.0, lead=0.0)
    assert pick(looked, rule) is None
    assert pick(looked, rule.model_copy(update={"sure": 1.0})) is not None


def test_ranks_are_of_products_and_by_each_ones_nearest_picture():
    stock = unit(np.eye(4)[[0, 0, 1, 2]] + 0.01)
    entries = [entry("a1", "a"), entry("a2", "a"), entry("b", "b"), entry("c", "c")]
    query = unit(np.array([[0.2, 1.0, 0.5, 0.0]]))
    looked = compared("s", entry("q", "c"), Look([Region("whole", WHOLE, None)], query), entries, stock)
    assert looked.products.tolist() == ["a", "b", "c"]
    assert looked.rank(looked.similarities[0]) == 2
    assert [hit.product_id for hit in looked.hits[0]] == ["b", "c"]
    assert looked.hits[0][0].similarity == pytest.approx(float(query[0] @ stock[2]))


def item(style):
    return Item("s", None, "photo", "train", style, style, None, None, None, None, None, None)


def test_no_style_is_for_tuning_and_for_measuring():
    styles = [f"s{i}" for i in range(9)]
    chosen = every_second_style([item(style) for style in styles])
    assert len(chosen) == 5
    assert chosen == every_second_style([item(style) for style in reversed(styles)])
    photos = PhotoSet("p", [], [entry(style, style) for style in styles])
    assert {each.style for each in photos.of(chosen).queries} == chosen


def test_flat_covers_of_a_family_stay_together_and_can_be_read():
    [photos] = flat(None, 12, 3)
    assert len(photos.gallery) == len(photos.queries) == 12
    assert all(query.product == picture.product for query, picture in zip(photos.queries, photos.gallery, strict=True))
    assert photos.queries[0].read()[:2] == b"\xff\xd8"
    assert photos.gallery[0].read()[:4] == b"\x89PNG"


@pytest.mark.parametrize(("products", "hurts"), [(1, False), (9, True)])
def test_what_one_product_loses_is_no_sign_that_others_would(products: int, hurts: bool):
    """Nine photos lose the right product by the second look: all of one product, or each of another."""
    names = [f"p{i}" for i in range(products)]
    entries = [entry(name, name) for name in (*names, "wrong")]
    stock = unit(np.eye(products + 1))
    looked = []
    for i in range(9):
        right = stock[i % products]
        regions = [Region("detected", WHOLE, None), Region("whole", WHOLE, None)]
        query = entry(f"q{i}", names[i % products])
        looked.append(compared("s", query, Look(regions, np.stack([right, stock[-1]])), entries, stock))
    assert gains_of(looked, [1] * 9)["s"].hurts is hurts


def test_a_picture_is_as_near_as_to_the_first_part_or_its_middle():
    stock = unit(np.array([[1.0, 0.2, 0.0], [0.2, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    entries = [entry(name, name) for name in "abc"]
    first, inner, second = np.eye(3)
    regions = [Region(kind, WHOLE, None) for kind in ("detected", "middle", "second")]
    look = Look(regions, np.stack([first, inner, second]).astype(np.float32))
    looked = compared("s", entry("q", "b"), look, entries, stock)
    assert looked.similarities[1] == pytest.approx(np.maximum(stock @ first, stock @ inner), abs=1e-6)
    scores = fit_scores(photos("b", 2, missed=0.7))
    rule = RegionRule(scores=dict.fromkeys(("detected", "middle"), scores["detected"]), sure=1.0, lead=1.0)
    assert pick(looked, rule) == 1, "which stands for the first"
    del rule.scores["middle"]
    assert pick(looked, rule) == 0

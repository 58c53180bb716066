"""Choosing a way to re-rank by value, and neighbour lists against a plain version."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics import Retrieval
from evaluation.neighbour_lists import NeighbourLists, order
from evaluation.reranking import LISTS, Ranker, Tried, Way, best_of_each_kind, choose, milliseconds, try_all
from services.gateway.query_bank import QueryBank
from shiwu.inference.tuning import DomainMeans, QueryBankRule
from tests.unit.evaluation.observations import of_vectors, unit
from tests.unit.gateway import k_reciprocal_oracle as oracle

BANK_RULE = QueryBankRule(neighbours=3, weight=0.1)


def tried(kind, rule, **sets):
    way = Way(kind, "", rule, lambda each: [], lambda each: [])
    return Tried(way, {name: Retrieval(r1, r5, r5, precision) for name, (r1, r5, precision) in sets.items()})


class TestChoosing:
    base = tried("none", None, a=(0.5, 0.8, 0.60), b=(0.7, 0.9, 0.80))

    @pytest.mark.parametrize(
        ("a", "b", "wins"),
        [
            ((0.50, 0.80, 0.62), (0.70, 0.90, 0.80), True),
            ((0.50, 0.80, 0.605), (0.70, 0.90, 0.80), False),  # no more than noise
            ((0.60, 0.90, 0.80), (0.69, 0.90, 0.80), False),  # costs b recall at 1
            ((0.60, 0.79, 0.80), (0.70, 0.90, 0.80), False),  # costs a recall at 5
            ((0.499, 0.799, 0.62), (0.70, 0.90, 0.81), True),  # within noise
        ],
    )
    def test_gains_must_exceed_noise_and_cost_nobody_recall(self, a, b, wins):
        new = tried("query-bank", BANK_RULE, a=a, b=b)
        assert choose([self.base, new]) is (new if wins else self.base)

    def test_what_is_not_served_cannot_be_chosen(self):
        lists = tried(LISTS, None, a=(0.9, 0.9, 0.9), b=(0.9, 0.9, 0.9))
        assert choose([self.base, lists]) is self.base

    def test_the_best_of_a_kind_is_one_that_costs_nothing_if_there_is_one(self):
        costly = tried("query-bank", BANK_RULE, a=(0.9, 0.9, 0.95), b=(0.1, 0.9, 0.9))
        safe = tried("query-bank", BANK_RULE, a=(0.5, 0.8, 0.62), b=(0.7, 0.9, 0.80))
        lists = tried(LISTS, None, a=(0.1, 0.9, 0.9), b=(0.1, 0.9, 0.9))
        assert best_of_each_kind([self.base, costly, safe, lists]) == [self.base, safe, lists]


class TestNeighbourLists:
    gallery = unit(np.random.default_rng(3).normal(size=(30, 12)))

    @pytest.mark.parametrize(("k1", "k2"), [(5, 2), (8, 3)])
    def test_equal_the_papers_encoding_of_the_catalogue_alone(self, k1, k2):
        query = unit(self.gallery[4] + 0.5 * np.random.default_rng(9).normal(size=12))
        observation = of_vectors(query, self.gallery, 4)
        weights, _ = oracle.encoded(self.gallery, k1, k2)
        nearest = observation.rows[:k2].tolist()
        photo = [sum(weights[row][j] for row in nearest) / k2 for j in range(30)]
        expected = [
            1.0 - sum(map(min, photo, weights[row])) / sum(map(max, photo, weights[row])) for row in observation.rows
        ]
        assert NeighbourLists(k1, k2).jaccard(observation) == pytest.approx(expected, abs=1e-5)

    def test_a_picture_that_is_the_photo_itself_is_in_no_list(self):
        query = self.gallery[7]
        with_itself = NeighbourLists(5, 2).jaccard(of_vectors(query, self.gallery, 7, own_row=7))
        others = np.delete(self.gallery, 7, axis=0)
        without = NeighbourLists(5, 2).jaccard(of_vectors(query, others, 7))
        assert with_itself == pytest.approx(without, abs=1e-6)

    def test_lambda_one_is_the_order_by_distance(self):
        assert order([0.1, 0.3, 0.2], np.array([0.9, 0.1, 0.5], np.float32), 1.0) == [0, 2, 1]
        assert order([0.1, 0.3, 0.2], np.array([0.9, 0.1, 0.5], np.float32), 0.0) == [1, 2, 0]


@pytest.fixture(scope="module")
def hubs():
    """Photos share a direction that one catalogue picture lies along; past queries share it, too."""
    random = np.random.default_rng(5)
    shared = unit(random.normal(size=64))
    products = unit(random.normal(size=(40, 64)))
    gallery = np.concatenate([products, shared[None]])
    photos = unit(products + 1.1 * shared + 0.08 * random.normal(size=(40, 64)))
    bank = unit(unit(random.normal(size=(200, 64))) + 1.1 * shared)
    means = DomainMeans(photo=tuple(photos.mean(axis=0)), merchant=tuple(gallery.mean(axis=0)))
    return {"set": [of_vectors(photo, gallery, i) for i, photo in enumerate(photos)]}, bank, means


def test_where_a_hub_attracts_all_photos_the_bank_is_tried_and_gains(hubs):
    sets, bank, means = hubs
    results = try_all(sets, bank, means)
    by_kind = {each.way.kind: each for each in best_of_each_kind(results)}
    assert list(by_kind) == ["none", "plain", "domain", "query-expansion", "query-bank", LISTS]
    assert by_kind["query-bank"].mean_average_precision > by_kind["none"].mean_average_precision + 0.05
    assert choose(results).mean_average_precision > by_kind["none"].mean_average_precision + 0.05


def test_what_is_done_once_for_all_photos_orders_as_a_scan_does(hubs):
    sets, bank, means = hubs
    for each in try_all(sets, bank, means):
        for observation in sets["set"][:3]:
            assert list(each.way.order(observation)) == list(each.way.whole(observation))


def test_the_order_is_the_gateways(hubs):
    sets, bank, means = hubs
    reranker = QueryBank(QueryBankRule(neighbours=5, weight=0.1), bank)
    way = next(each.way for each in try_all(sets, bank, means) if each.way.rule == reranker.rule)
    for observation in sets["set"][:5]:
        assert list(way.order(observation)) == Ranker(reranker).rank(observation).order.tolist()
    assert milliseconds(sets["set"][:3], way) >= 0.0

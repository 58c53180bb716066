"""Order by similarity, the query bank and query expansion, each against a slow and obvious version."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from services.gateway.query_bank import QueryBank, hubness
from services.gateway.query_expansion import QueryExpansion
from services.gateway.ranking import by_similarity
from shiwu.inference.tuning import QueryBankRule, QueryExpansionRule


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def drawn(seed, n, dimension=16):
    return unit(np.random.default_rng(seed).normal(size=(n, dimension)))


def dot(one, other):
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def plainly(query, gallery):
    return by_similarity((gallery @ query).tolist())


def test_order_by_similarity_is_stable():
    ranking = by_similarity([0.5, 0.9, 0.5, -1.0])
    assert ranking.order.tolist() == [1, 0, 2, 3]
    assert ranking.distances.tolist() == pytest.approx([0.5, 0.1, 0.5, 2.0])
    assert by_similarity([]).order.tolist() == []


class TestQueryBank:
    @pytest.mark.parametrize("neighbours", [1, 3, 40, 99])
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_the_definition(self, seed, neighbours):
        query, gallery, bank = drawn(seed, 1)[0], drawn(seed + 10, 25), drawn(seed + 20, 40)
        expected = []
        for picture in gallery.tolist():
            cosines = sorted((dot(picture, past) for past in bank.tolist()), reverse=True)
            attraction = math.fsum(cosines[:neighbours]) / len(cosines[:neighbours])
            expected.append(1.0 - (dot(picture, query.tolist()) - 0.3 * attraction))
        rule = QueryBankRule(neighbours=neighbours, weight=0.3)
        ranking = QueryBank(rule, bank).rank(query, gallery, plainly(query, gallery))
        assert ranking.distances == pytest.approx(expected, abs=1e-5)
        assert ranking.order.tolist() == sorted(range(25), key=lambda i: ranking.distances[i])
        assert ranking.hubness == pytest.approx(hubness(gallery, bank, neighbours))
        assert ranking.mode == "query-bank"

    def test_weighs_nothing_at_weight_nought(self):
        query, gallery = drawn(0, 1)[0], drawn(1, 20)
        plain = plainly(query, gallery)
        ranking = QueryBank(QueryBankRule(neighbours=2, weight=0.0), drawn(2, 9)).rank(query, gallery, plain)
        assert ranking.order.tolist() == plain.order.tolist()

    def test_a_hub_that_attracts_all_queries_no_longer_wins(self):
        """All photos share a direction, one catalogue picture lies along it: it is nearest to every photo."""
        random = np.random.default_rng(5)
        shared = unit(random.normal(size=64))
        products = drawn(6, 12, 64)
        gallery = np.concatenate([products, shared[None]])
        photos = unit(products + 1.5 * shared + 0.08 * random.normal(size=(12, 64)))
        others = unit(drawn(7, 80, 64) + 1.5 * shared)  # past queries are of other products
        bank = QueryBank(QueryBankRule(neighbours=10, weight=1.0), others)
        before = [int(plainly(photo, gallery).order[0]) for photo in photos]
        after = [int(bank.rank(photo, gallery, plainly(photo, gallery)).order[0]) for photo in photos]
        assert before == [12] * 12
        assert after == list(range(12))


class TestQueryExpansion:
    @pytest.mark.parametrize(("pictures", "alpha"), [(1, 0.0), (3, 3.0), (99, 1.5)])
    def test_equals_the_definition(self, pictures, alpha):
        query, gallery = drawn(3, 1)[0], drawn(4, 15)
        nearest = sorted(range(15), key=lambda i: -float(gallery[i] @ query))[:pictures]
        total = [float(x) for x in query]
        for i in nearest:
            weight = max(float(gallery[i] @ query), 0.0) ** alpha
            total = [t + weight * float(x) for t, x in zip(total, gallery[i], strict=True)]
        length = math.sqrt(sum(t * t for t in total))
        expected = [1.0 - dot(total, row) / length for row in gallery.tolist()]
        reranker = QueryExpansion(QueryExpansionRule(pictures=pictures, alpha=alpha))
        ranking = reranker.rank(query, gallery, plainly(query, gallery))
        assert ranking.distances == pytest.approx(expected, abs=1e-5)
        assert ranking.mode == "query-expansion"

    def test_brings_the_other_views_of_what_was_found(self):
        """The photo sees one side of the product; another picture shows that side and the other one."""
        front, back, other = np.eye(3, 3, dtype=np.float32)
        query = unit(front + 0.3 * other)
        gallery = unit(np.stack([front + 0.6 * back, back, other]))
        plain = plainly(query, gallery)
        assert plain.order.tolist() == [0, 2, 1]
        ranking = QueryExpansion(QueryExpansionRule(pictures=1, alpha=1.0)).rank(query, gallery, plain)
        assert ranking.order.tolist() == [0, 1, 2]

    def test_a_single_candidate_stays(self):
        query, gallery = drawn(0, 1)[0], drawn(1, 1)
        plain = plainly(query, gallery)
        assert QueryExpansion(QueryExpansionRule(pictures=2, alpha=3.0)).rank(query, gallery, plain) is plain


def test_a_bank_of_thousands_of_queries_takes_few_milliseconds():
    query, gallery = drawn(0, 1, 256)[0], drawn(1, 100, 256)
    bank = QueryBank(QueryBankRule(neighbours=5, weight=0.2), drawn(2, 2700, 256))
    plain, taken = plainly(query, gallery), []
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(15):
            start = time.process_time()
            bank.rank(query, gallery, plain)
            taken.append(time.process_time() - start)
    assert min(taken) < 0.020

from __future__ import annotations

import pytest

from offline.indexing.discovery import DiscoveryRule, OpenGap, Style, propose
from shiwu.categories import CATEGORIES

RULE = DiscoveryRule()


def style(key, category="shoes", products=4, pictures=9):
    return Style(("style_id", key), key.title(), category, products, pictures)


STOCK = [style(f"s-{category}", category) for category in CATEGORIES]


def gap(key, category="shoes", cluster="", near="", confidence=0.0):
    return OpenGap(key, category, cluster, ("style_id", near) if near else None, confidence)


def test_a_thing_that_many_ask_for_comes_first():
    gaps = [gap(f"b{i}", "bags", "b0") for i in range(3)] + [gap("t1", "toys", "t1"), gap("t2", "toys", "t1")]
    found = propose(STOCK, gaps, RULE)
    assert [(each.kind, each.subject, each.scans, each.score) for each in found] == [
        ("thing", {"cluster_id": "b0", "category": "bags"}, 3.0, 0.6),
        ("thing", {"cluster_id": "t1", "category": "toys"}, 2.0, 0.4),
    ]
    assert found[0].evidence == {"scan_ids": ["b0", "b1", "b2"]}
    assert "3 open scans ask for the same thing" in found[0].reasons[0]


def test_a_style_with_few_pictures_gets_what_came_near_to_it_and_its_category_the_rest():
    stock = [*STOCK, style("rare", "bags", 1, 1)]
    gaps = [
        gap("g1", "bags", "g1", "rare", 0.4),
        gap("g2", "bags", "g2", "rare", 0.2),
        gap("g3", "bags", "", "s-bags", 0.4),
    ]
    near, category = propose(stock, gaps, RULE)
    assert (near.kind, near.subject) == ("category", {"category": "bags"})
    assert near.scans == pytest.approx(2.4)
    assert "1 of 2 styles with fewer than 3 pictures" in near.reasons
    assert (category.kind, category.subject) == ("style", {"style_id": "rare"})
    assert category.scans == pytest.approx(0.6)
    assert category.reasons[0] == "Rare has 1 picture"


def test_thin_categories_come_last_while_nobody_scans_what_they_lack():
    stock = [each for each in STOCK if each.category not in {"food", "beauty"}] + [style("s-food", "food", 0, 0)]
    found = propose(stock, [gap("g1", "shoes")], RULE)
    assert [each.subject["category"] for each in found] == ["shoes", "beauty", "food"]
    assert found[1].score == 0
    assert found[1].reasons[0] == "it has 0 products; the median category has 4"


def test_an_empty_catalogue_and_no_gaps_propose_every_category():
    assert {each.subject["category"] for each in propose([], [], RULE)} == set(CATEGORIES)


def test_every_open_gap_is_worth_one_scan_in_all_and_the_order_is_always_the_same():
    stock = [*STOCK, style("rare", "bags", 1, 1), style("rarer", "toys", 1, 2)]
    near = ["rare", "rarer", "s-toys", "gone", ""]
    gaps = [
        gap(f"g{i:03}", CATEGORIES[i % 11], f"c{min(i % 40, 30)}" if i % 3 else "", near[i % 5], (i % 7) / 7)
        for i in range(200)
    ]
    found = propose(stock, gaps, RULE)
    assert {each.kind for each in found} == {"thing", "style", "category"}
    assert sum(each.scans for each in found) == pytest.approx(len(gaps))
    assert sum(each.score for each in found) == pytest.approx(1.0)
    assert propose(stock[::-1], gaps[::-1], RULE) == found

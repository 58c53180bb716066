from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.articles import LabelledSet, exact_titles, fit, full_text, quality, read_set, scores
from offline.indexing.articles.texts import ArticleText, ProductText

ROOT = Path(__file__).parents[3]
SET = LabelledSet(
    (
        ProductText("camera", "Instant Camera", "Polaroid", "appliances", "It prints pictures."),
        ProductText("stool", "Wooden Stool", "", "furniture", "A seat."),
        ProductText("apples", "Apples", "", "food", "Fruit."),
    ),
    (
        ArticleText("a", "Instant camera", "An instant camera is a camera that prints."),
        ArticleText("b", "Polaroid", "Polaroid was a company."),
        ArticleText("c", "Stool test", "A stool test is a medical examination."),
        ArticleText("d", "Stool", "A stool is a seat."),
        ArticleText("e", "Apples", "Apples are fruit."),
    ),
    frozenset({("a", "camera"), ("d", "stool"), ("e", "apples")}),
)


def test_quality_counts_what_is_right_among_what_is_found_and_what_there_is():
    found = quality({("a", "camera"), ("b", "camera")}, SET.links)
    assert (found.found, found.precision, found.recall) == (2, 0.5, pytest.approx(1 / 3))
    assert found.f1 == pytest.approx(0.4)
    assert quality(set(), SET.links).f1 == 0


def test_halves_share_no_article_and_miss_none():
    halves = [SET.half(number) for number in (0, 1)]
    assert sorted(each.article_id for half in halves for each in half.articles) == list("abcde")
    assert halves[0].links | halves[1].links == SET.links
    assert not halves[0].links & halves[1].links


async def test_peers_are_what_they_say():
    assert exact_titles(SET) == {("a", "camera"), ("e", "apples")}
    found = await full_text(SET)
    assert ("a", "camera") in found["full text, all words of the title, first hit"]
    assert ("d", "stool") in found["full text, any word in the title, first hit"]


def test_a_fitted_rule_tells_links_from_others():
    rule = fit(SET)
    scored = scores(SET, rule)
    others = [score for link, score in scored.items() if link not in SET.links]
    assert min(scored[link] for link in SET.links) > max(others)
    assert rule.propose <= rule.accept


def test_the_labelled_set_names_products_that_exist(tmp_path):
    with pytest.raises(ValueError, match="instant-camera"):
        read_set(ROOT / "evaluation" / "article_links.yaml", [])

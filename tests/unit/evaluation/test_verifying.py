"""How prints count is chosen where that helps, and for no category that it hurts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.observations import Scans
from evaluation.reranking import Ranker
from evaluation.verifying import fit_verification, qualities, questions
from shiwu.inference.tuning import VerificationRule
from shiwu.vision.agreement import Agreement
from tests.unit.evaluation.observations import of_neighbours

RULE = VerificationRule(by="picture", categories=("food",), candidates=2, least=8, enough=40, weight=0.4)


def photo(category, counts, right, gap=0.1):
    """The first of three candidates is the nearest; the product in the photo is the `right` one."""
    products = ["p" if i == right else f"q{i}" for i in range(3)]
    seen = of_neighbours(category, [], [(category, 0.9 - i * gap) for i in range(3)], products)
    agreements = [Agreement(count, 1.0, 1.0) for count in counts]
    return replace(seen, agreements=agreements, style="s", styles=["s" if each == "p" else each for each in products])


def test_prints_count_as_the_gateway_counts_them() -> None:
    ranker = Ranker(None, [RULE])
    assert ranker.rank(photo("food", [0, 40, 150], 1)).order.tolist() == [1, 0, 2]
    assert ranker.rank(photo("toys", [0, 40, 150], 1)).order.tolist() == [0, 1, 2]
    assert Ranker().rank(photo("food", [0, 40, 150], 1)).prints is None


def test_what_finds_more_is_chosen_and_a_category_that_loses_is_left_out() -> None:
    hidden = [photo("food", [0, 60, 0], 1)] * 4
    misled = [photo("toys", [0, 60, 0], 0)] * 4
    fit = fit_verification({"food": Scans(hidden, []), "toys": Scans(misled, [])}, None)
    [rule] = fit.rules
    assert rule.by == "picture"
    assert "food" in rule.categories
    assert "toys" not in rule.categories
    assert rule.candidates == 10  # no more are compared than help
    assert (fit.before["food"].products.recall_1, fit.after["food"].products.recall_1) == (0.0, 1.0)
    assert fit.after["toys"] == fit.before["toys"]
    assert qualities({"food": hidden}, Ranker(None, fit.rules))["food"] == fit.after["food"]


@pytest.mark.parametrize(("tie", "least"), [(0.001, 12), (0.05, 8)])
def test_of_rules_that_are_as_good_the_one_that_asks_for_fewest_features(
    monkeypatch: pytest.MonkeyPatch, tie: float, least: int
) -> None:
    """Eleven features mislead one photo of twenty, which costs .025 of the mean average precision."""
    monkeypatch.setattr("evaluation.verifying._TIE", tie)
    photos = [photo("food", [0, 11, 0], 0, 0.01)] + [photo("food", [0, 60, 0], 1)] * 19
    [rule] = fit_verification({"food": Scans(photos, [])}, None).rules
    assert rule.least == least


def test_a_garment_s_print_lifts_its_style_and_leaves_the_colour_to_the_vectors() -> None:
    """The nearest is another style; of the photo's own style first comes the right colour, then a wrong one."""
    seen = replace(photo("clothing", [0, 0, 60], 1), styles=["t", "s", "s"])
    fit = fit_verification({"clothing": Scans([seen] * 4, [])}, None)
    [rule] = fit.rules
    assert rule.by == "style"
    assert Ranker(None, fit.rules).rank(seen).order[0] == 1
    assert (fit.before["clothing"].styles.recall_1, fit.after["clothing"].styles.recall_1) == (0.0, 1.0)


def test_a_style_is_also_asked_for_without_the_photo_s_own_colourway() -> None:
    """The photo's product is not there; the print is on the last picture, which is of another colourway."""
    sibling = replace(photo("clothing", [0, 0, 60], 3), styles=["t", "u", "s"])
    stranger = replace(sibling, styles=["t", "u", "v"])
    plain = photo("clothing", [0, 0, 0], 0)
    scans = {"clothing": Scans([plain], [sibling, stranger]), "toys": Scans([plain], [stranger])}
    assert questions(scans) == {"clothing": [plain], "toys": [plain], "clothing, siblings only": [sibling]}
    fit = fit_verification(scans, None)
    [rule] = fit.rules
    assert rule.by == "style"
    assert fit.after["clothing, siblings only"].styles.recall_1 == 1.0


def test_without_a_gain_nothing_is_compared() -> None:
    even = [photo("food", [0, 0, 0], int(right)) for right in np.arange(6) % 3]
    fit = fit_verification({"food": Scans(even, [])}, None)
    assert (fit.rules, fit.after) == ((), fit.before)

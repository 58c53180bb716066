"""One scan over in-memory parts, whole and with every part lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from services.gateway.answer import Rules
from services.gateway.k_reciprocal import DEFAULT_RULE, KReciprocal
from services.gateway.ports import Box, Vote
from services.gateway.query_bank import QueryBank
from services.gateway.tuning import UNTUNED
from shiwu.chassis.errors import DeadlineError, NotFoundError, OverloadedError, UnavailableError
from shiwu.inference.tuning import QueryBankRule
from tests.unit.gateway.world import GENERAL, OWN, STOCK, Product, World, embed, noisy, photo, tile

DOWN = UnavailableError("it does not answer")


def shot(seed, *, left=240, top=160):
    """A phone's view of the product that has tile `seed`."""
    return noisy(photo((tile(seed), left, top)), seed, 4.0)


def parts(answer):
    return {each.part: each for each in answer.missing}


def best(answer):
    return answer.styles[0].products[0].product_id


async def test_a_stocked_product_is_matched():
    world = World(STOCK)
    answer = await world.scan(shot(3))
    assert (answer.outcome, best(answer), answer.missing) == ("matched", "robot", [])
    assert answer.confidence > 0.9
    assert answer.choice.source == "detected"
    assert answer.categories[0][0] == "toys"
    assert sum(score for _, score in answer.categories) == pytest.approx(1.0)
    assert [stage.name for stage in world.progress.stages] == [
        *("detect", "embed", "search", "vote", "rerank", "describe")
    ]
    assert (answer.detector_model, answer.embedder_model) == ("tile-boxes@1", GENERAL.id)
    assert answer.index_time is not None
    described, articles = world.catalog.described[0]
    assert (described[0], articles) == ("robot", 5)
    assert answer.facts["robot"] == "facts of robot"


async def test_products_of_one_style_come_together():
    world = World(STOCK)
    answer = await world.scan(shot(0))
    assert answer.styles[0].style_id == "shoe-style"
    assert {product.product_id for product in answer.styles[0].products} == {"red-shoe", "blue-shoe"}
    assert best(answer) == "red-shoe"


async def test_an_unknown_product_is_not_in_the_catalogue():
    world = World(STOCK)
    answer = await world.scan(shot(99))
    assert answer.outcome == "not_in_catalogue"
    assert answer.styles, "similar products are offered"
    assert answer.confidence < 0.5
    assert answer.crop is not None
    assert answer.vector is not None


async def test_an_empty_catalogue_says_so():
    answer = await World().scan(shot(3))
    assert (answer.outcome, answer.styles, answer.confidence, answer.missing) == ("not_in_catalogue", [], 0.0, [])


async def test_the_catalogue_is_asked_once():
    world = World(STOCK, rules=Rules(vote_mass=1.0))
    answer = await world.scan(shot(3))
    assert len(world.catalog.described) == 1
    assert answer.facts is not None


async def test_the_catalogue_is_asked_again_where_the_vote_changes_what_is_named():
    async def for_bags(detector, neighbours, *, seconds):
        await asyncio.sleep(0)
        return Vote([("bags", 1.0)], 1.0, [])

    world = World(STOCK)
    world.voter.vote = for_bags
    answer = await world.scan(shot(3))
    named = [product.product_id for style in answer.styles for product in style.products]
    assert [products for products, _ in world.catalog.described][1:] == [named]
    assert named[0] != world.catalog.described[0][0][0]


async def test_top_k_limits_the_styles_described():
    world = World(STOCK, rules=Rules(vote_mass=1.0))
    answer = await world.scan(shot(3), top_k=1)
    assert [style.style_id for style in answer.styles] == ["robot-style"]
    assert world.catalog.described[0][0] == ["robot"]


@pytest.mark.parametrize(("mass", "expected"), [(0.5, {"toys"}), (1.0, {"toys", "bags"})])
async def test_candidates_are_of_the_likely_categories_only(mass, expected):
    stock = [Product(f"{category}-{i}", category) for category in ("bags", "toys") for i in range(30)]
    world = World(stock, rules=Rules(vote_mass=mass))
    world.detector.scores = (("toys", 0.9),)
    answer = await world.scan(shot(33))
    assert {hit.category for hit in answer.candidates} == expected
    assert best(answer) == "toys-3"
    assert world.voter.neighbours == [20]


async def test_the_photo_reaches_the_models_at_the_size_that_they_need():
    world = World(STOCK)
    await world.scan(noisy(photo((tile(3, 400), 500, 300), size=(960, 1280)), 3, 4.0))
    assert world.detector.sizes == [(240, 320)]
    assert max(world.embedder.crops[0]) == GENERAL.input_size


async def test_without_a_box_the_centre_is_searched():
    world = World(STOCK)
    answer = await world.scan(np.full((100, 100, 3), 128, np.uint8) + np.arange(100, dtype=np.uint8)[:, None] % 2)
    assert answer.choice.source == "centre"
    assert answer.choice.box == pytest.approx((0.1, 0.1, 0.9, 0.9))
    assert answer.missing == []


class TestFocus:
    two = photo((tile(3, 220), 20, 100), (tile(4, 120), 480, 100))

    async def test_the_biggest_score_wins_without_one(self):
        assert best(await World(STOCK).scan(self.two)) == "robot"

    async def test_the_object_that_fits_becomes_the_main_one(self):
        answer = await World(STOCK).scan(self.two, focus=Box(0.7, 0.2, 0.98, 0.5))
        assert (best(answer), answer.choice.source) == ("chair", "detected")
        assert answer.choice.objects[0].box.x_min > 0.7
        assert len(answer.choice.objects) == 2

    async def test_without_one_that_fits_the_focus_is_searched(self):
        focus = Box(0.0, 0.8, 0.2, 1.0)
        answer = await World(STOCK).scan(noisy(self.two, 1), focus=focus)
        assert (answer.choice.source, answer.choice.box) == ("focus", focus)
        assert answer.choice.main is None


class TestLosses:
    """Marked, made up for where possible, and never a wrong answer."""

    async def test_detector_down_searches_the_centre(self):
        world = World(STOCK)
        world.detector.error = DOWN
        answer = await world.scan(noisy(tile(3, 400), 1, 4.0))
        assert (answer.choice.source, answer.detector_model) == ("centre", "")
        assert "80%" in parts(answer)["detector"].fallback
        assert answer.outcome != "not_in_catalogue", "the product may lie beside the centre"

    async def test_detector_down_can_still_match(self):
        world = World(STOCK)
        world.detector.error = DOWN
        picture = photo((tile(3, 320), 40, 40), size=(400, 400))  # the centre 80 % are the tile
        answer = await world.scan(picture)
        assert (answer.outcome, best(answer), list(parts(answer))) == ("matched", "robot", ["detector"])

    async def test_detector_down_searches_the_focus_if_there_is_one(self):
        world = World(STOCK)
        world.detector.error = DOWN
        answer = await world.scan(shot(3), focus=Box(240 / 640, 160 / 480, 400 / 640, 320 / 480))
        assert (answer.choice.source, answer.outcome, best(answer)) == ("focus", "matched", "robot")

    @pytest.mark.parametrize("part", ["embedder", "search"])
    async def test_nothing_to_search_with_is_undecided_with_boxes(self, part):
        world = World(STOCK)
        {"embedder": world.embedder, "search": world.index}[part].error = DOWN
        answer = await world.scan(shot(3))
        assert (answer.outcome, list(parts(answer)), answer.styles) == ("undecided", [part], [])
        assert answer.confidence == 0.0
        assert len(answer.choice.objects) == 1
        assert answer.categories[0] == ("shoes", pytest.approx(0.8 / 1.1)), "the detector's"
        assert answer.index_time is None

    async def test_a_catalogue_of_another_model_is_undecided_and_says_why(self):
        world = World()
        world.index.add("x", STOCK[0], embed(tile(0)), model="tiles@0")
        answer = await world.scan(shot(0))
        assert answer.outcome == "undecided"
        assert "tiles@0" in parts(answer)["search"].reason

    async def test_the_other_shards_answer_for_a_lost_one(self):
        world = World(STOCK)
        world.index.lost = {"fashion"}
        answer = await world.scan(shot(3))
        assert (answer.outcome, best(answer), list(parts(answer))) == ("matched", "robot", ["search/fashion"])
        assert parts(answer)["search/fashion"].reason == "no connection"
        assert answer.index_time is None

    async def test_what_a_lost_shard_holds_is_never_denied(self):
        world = World(STOCK)
        world.index.lost = {"home"}
        answer = await world.scan(shot(3))
        assert answer.outcome == "undecided"
        assert best(answer) != "robot"

    async def test_a_lead_that_a_lost_shard_could_end_does_not_count(self):
        rule = UNTUNED.acceptance.model_copy(update={"bias": -12.0, "similarity": 10.0, "margin": 20.0})
        world = World(STOCK, tuning=replace(UNTUNED, acceptance=rule))
        assert (await world.scan(shot(3))).outcome == "matched"
        world.index.lost = {"fashion"}
        answer = await world.scan(shot(3))
        assert (answer.outcome, best(answer)) == ("undecided", "robot")

    async def test_classifier_down_takes_the_detectors_category(self):
        world = World(STOCK)
        world.voter.error = DOWN
        world.detector.scores = (("toys", 0.8), ("shoes", 0.2))
        answer = await world.scan(shot(3))
        assert (answer.outcome, best(answer), list(parts(answer))) == ("matched", "robot", ["classifier"])
        assert answer.vote is None
        assert answer.categories == [("toys", pytest.approx(0.8)), ("shoes", pytest.approx(0.2))]
        assert {hit.category for hit in answer.candidates} == {"toys"}
        assert "toys" in parts(answer)["classifier"].fallback

    async def test_classifier_down_and_a_wrong_detector_are_undecided(self):
        world = World(STOCK)
        world.voter.error = DOWN
        answer = await world.scan(shot(3))
        assert (answer.outcome, list(parts(answer))) == ("undecided", ["classifier"])

    async def test_classifier_and_detector_down_take_all_categories(self):
        world = World(STOCK)
        world.voter.error = world.detector.error = DOWN
        answer = await world.scan(photo((tile(3, 320), 40, 40), size=(400, 400)))
        assert set(parts(answer)) == {"classifier", "detector"}
        assert (answer.outcome, best(answer), len(answer.candidates)) == ("matched", "robot", 5)

    async def test_catalog_down_answers_with_ids(self):
        world = World(STOCK)
        world.catalog.error = OverloadedError("too many scans")
        answer = await world.scan(shot(3))
        assert (answer.outcome, best(answer), answer.facts) == ("matched", "robot", None)
        assert parts(answer)["catalog"].reason == "too many scans"

    async def test_vectors_that_make_no_sense_are_not_ranked_by(self):
        stock = [Product(f"toy-{i}", "toys") for i in range(30)]
        world = World(stock, tuning=replace(UNTUNED, reranker=KReciprocal(DEFAULT_RULE)))
        world.index.dimension_error = 1
        answer = await world.scan(shot(3))
        assert (best(answer), answer.ranking.mode) == ("toy-3", "none")
        assert "toy-3-a" in parts(answer)["search"].reason

    async def test_everything_down_is_still_an_answer(self):
        world = World(STOCK)
        for part in (world.detector, world.embedder, world.index, world.voter, world.catalog):
            part.error = DOWN
        answer = await world.scan(shot(3))
        assert (answer.outcome, answer.categories, set(parts(answer))) == ("undecided", (), {"detector", "embedder"})

    async def test_a_bug_is_not_taken_for_a_loss(self):
        world = World(STOCK)
        world.voter.error = KeyError("bug")
        with pytest.raises(KeyError):
            await world.scan(shot(3))


class TestTime:
    async def test_time_up_is_an_error_not_a_loss(self):
        world = World(STOCK)
        world.detector.delay, world.detector.error = 0.06, DOWN
        with pytest.raises(DeadlineError, match=r"0\.05 s"):
            await world.scan(shot(3), seconds=0.05)

    async def test_a_step_that_hangs_leaves_time_for_the_rest(self):
        world = World(STOCK)
        given = []
        begin = world.detector.begin

        async def hangs(seconds):
            given.append(seconds)
            world.detector.delay, world.detector.error = seconds, DeadlineError("too late")
            await begin(seconds)

        world.detector.begin = hangs
        answer = await world.scan(photo((tile(3, 320), 40, 40), size=(400, 400)), seconds=1.0)
        assert given[0] == pytest.approx(0.4, abs=0.05)
        assert (answer.outcome, list(parts(answer))) == ("matched", ["detector"])


class TestModels:
    async def test_the_list_is_asked_for_once(self):
        world = World(STOCK)
        await world.scan(shot(3))
        await world.scan(shot(2))
        assert world.embedder.lists == 1

    async def test_a_restart_with_other_models_is_noticed(self):
        world = World(STOCK)
        await world.scan(shot(3))
        newer = replace(GENERAL, id="tiles@2")
        world.embedder.serving = (newer,)
        for row in list(world.index.rows[GENERAL.id]):
            world.index.add(*row, model=newer.id)
        answer = await world.scan(shot(3))
        assert (answer.outcome, answer.embedder_model, answer.missing) == ("matched", "tiles@2", [])

    @pytest.fixture
    def world(self):
        """Shoes have an embedder of their own."""
        world = World(STOCK)
        world.detector.scores = (("shoes", 0.9),)
        world.embedder.serving = (GENERAL, OWN)
        for seed, product in enumerate(STOCK[:2]):
            world.index.add(f"{product.product_id}-a", product, embed(tile(seed), salt=1), model=OWN.id)
        return world

    async def test_a_category_can_have_an_embedder_of_its_own(self, world):
        answer = await world.scan(shot(0))
        assert (answer.outcome, best(answer), answer.embedder_model) == ("matched", "red-shoe", OWN.id)
        assert world.index.asked == [(GENERAL.id, (), False), (OWN.id, ("shoes",), False)]
        assert [stage.name for stage in world.progress.stages].count("embed") == 2

    async def test_other_categories_do_not_use_it(self, world):
        world.detector.scores = (("toys", 0.9),)
        answer = await world.scan(shot(3))
        assert (best(answer), answer.embedder_model, len(world.index.asked)) == ("robot", GENERAL.id, 1)

    @pytest.mark.parametrize("error", [DOWN, NotFoundError("no such model")])
    async def test_losing_it_falls_back_to_the_default_one(self, world, error):
        world.embedder.own_error = error
        answer = await world.scan(shot(0))
        assert (answer.outcome, best(answer), answer.embedder_model) == ("matched", "red-shoe", GENERAL.id)
        assert GENERAL.id in parts(answer)["embedder"].fallback

    async def test_an_index_without_its_vectors_falls_back_too(self, world):
        del world.index.rows[OWN.id]
        answer = await world.scan(shot(99))
        assert (answer.outcome, list(parts(answer))) == ("undecided", ["search"])
        assert OWN.id in parts(answer)["search"].reason


async def test_reranking_is_by_the_models_tuning():
    stock = [Product(f"toy-{i}", "toys") for i in range(60)]
    world = World(stock, tuning=replace(UNTUNED, reranker=KReciprocal(DEFAULT_RULE)))
    answer = await world.scan(shot(7))
    assert answer.ranking.mode == "plain"
    assert world.index.asked[0][2], "vectors are needed for it"
    assert best(answer) == "toy-7"
    assert sorted(answer.ranking.order.tolist()) == list(range(60))
    untuned = await World(stock).scan(shot(7))
    assert untuned.ranking.mode == "none"
    assert untuned.ranking.order.tolist() == list(range(60))


async def test_a_bank_of_past_queries_moves_hubs_away():
    """The bank's only query is the first product's picture: that one attracts everything."""
    bank = QueryBank(QueryBankRule(neighbours=1, weight=2.0), embed(tile(0))[None])
    world = World(STOCK, tuning=replace(UNTUNED, reranker=bank))
    answer = await world.scan(shot(0))
    assert (answer.ranking.mode, answer.missing) == ("query-bank", [])
    assert best(answer) != "red-shoe"
    assert answer.candidates[0].product_id == "red-shoe", "by similarity it comes first"
    assert best(await World(STOCK).scan(shot(0))) == "red-shoe"


async def test_hubness_lowers_the_confidence_where_acceptance_counts_it():
    rule = UNTUNED.acceptance.model_copy(update={"hubness": -12.0, "typical_hubness": 0.0})
    bank = QueryBank(QueryBankRule(neighbours=1, weight=0.0), embed(tile(3))[None])
    counted = await World(STOCK, tuning=replace(UNTUNED, reranker=bank, acceptance=rule)).scan(shot(3))
    unknown = await World(STOCK, tuning=replace(UNTUNED, acceptance=rule)).scan(shot(3))
    assert best(counted) == best(unknown) == "robot"
    assert counted.confidence < unknown.confidence - 0.1


async def test_a_bank_that_cannot_be_used_is_told_of_and_costs_nothing_else():
    world = World(STOCK, tuning=replace(UNTUNED, refusal="the query bank is of another model"))
    answer = await world.scan(shot(3))
    assert (answer.outcome, best(answer), answer.ranking.mode) == ("matched", "robot", "none")
    assert parts(answer)["rerank"].reason == "the query bank is of another model"
    assert parts(answer)["rerank"].fallback == "ranked by similarity alone"
    assert not world.index.asked[0][2], "no vectors are needed"
    assert (await world.scan(shot(99))).outcome == "not_in_catalogue"


async def test_a_picture_in_two_shards_votes_once():
    world = World(STOCK)
    moved = replace(STOCK[3], category="bags")
    world.index.add("robot-a", moved, embed(tile(3)))
    answer = await world.scan(shot(3))
    assert answer.missing == []
    assert len({share.image_id for share in answer.vote.shares}) == len(answer.vote.shares) == 5

"""One scan over in-memory parts, with every part lost and with time running out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.k_reciprocal import DEFAULT_RULE, KReciprocal
from services.gateway.ports import Box
from services.gateway.tuning import UNTUNED
from shiwu.chassis.errors import DeadlineError, OverloadedError
from tests.unit.gateway.photos import shot
from tests.unit.gateway.world import DOWN, STOCK, Product, World, best, embed, noisy, parts, photo, tile


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

"""One scan over in-memory parts with several embedding models, and with what is tuned for a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.k_reciprocal import DEFAULT_RULE, KReciprocal
from services.gateway.query_bank import QueryBank
from services.gateway.tuning import UNTUNED
from shiwu.chassis.errors import NotFoundError
from shiwu.inference.tuning import QueryBankRule
from tests.unit.gateway.photos import shot
from tests.unit.gateway.world import DOWN, GENERAL, OWN, STOCK, Product, World, best, embed, parts, tile


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

"""One scan over in-memory parts that all answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from services.gateway.answer import Rules
from services.gateway.ports import Box, Vote
from tests.unit.gateway.photos import shot
from tests.unit.gateway.world import GENERAL, STOCK, Product, World, best, embed, noisy, photo, tile


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


async def test_a_picture_in_two_shards_votes_once():
    world = World(STOCK)
    moved = replace(STOCK[3], category="bags")
    world.index.add("robot-a", moved, embed(tile(3)))
    answer = await world.scan(shot(3))
    assert answer.missing == []
    assert len({share.image_id for share in answer.vote.shares}) == len(answer.vote.shares) == 5

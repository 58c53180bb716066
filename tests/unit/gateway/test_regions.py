"""Which part of the photo is searched for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import get_args

import cv2
import numpy as np
import pytest

from services.gateway.cropping import choose
from services.gateway.ports import Box, Detected, Detection
from services.gateway.regions import best_of, chosen, is_sure, probability, regions, signs
from services.gateway.stream import FrameMemory
from services.gateway.tuning import UNTUNED
from shiwu.chassis.errors import DeadlineError, UnavailableError
from shiwu.inference.tuning import RegionKind, RegionRule, RegionScore
from tests.unit.gateway.world import RULES, STOCK, TileEmbedder, TileHit, World, best, photo, tile

WEIGHTS = RegionScore(bias=-6.0, similarity=8.0, margin=4.0, score=0.5, area=0.25)
KINDS = get_args(RegionKind)
RULE = RegionRule(scores=dict.fromkeys(KINDS, WEIGHTS), sure=0.9, lead=0.1)
OTHERS = ("detected", "second", "centre", "whole")
"""Without the middle of the first."""
LARGE, SMALL = Box(0.0, 0.0, 0.5, 0.8), Box(0.6, 0.6, 0.9, 0.9)
UNKNOWN = 77


def objects():
    return [Detected(LARGE, 0.9, [("toys", 0.9)]), Detected(SMALL, 0.4, [("bags", 0.4)])]


def choice(found):
    return choose(found, None, focus_iou=0.3, centre_share=0.6)


def hit(product, similarity):
    return TileHit(f"{product}-a", product, "", "toys", similarity, b"")


class TestScore:
    def test_is_the_documented_logistic(self):
        region = regions(choice(objects()), 0.6, KINDS)[0]
        hits = [hit("a", 0.8), hit("a", 0.7), hit("b", 0.6)]
        assert signs(region, hits) == pytest.approx((0.8, 0.2, 0.9, 0.4))
        z = -6.0 + 8.0 * 0.8 + 4.0 * 0.2 + 0.5 * 0.9 + 0.25 * 0.4
        assert probability(region, hits, RULE) == pytest.approx(1 / (1 + math.exp(-z)))

    def test_without_a_second_product_there_is_no_lead(self):
        region = regions(choice([]), 0.6, KINDS)[0]
        assert signs(region, [hit("a", 0.8)]) == pytest.approx((0.8, 0.0, 0.0, 0.36))

    def test_nothing_found_and_unknown_kinds_say_nothing(self):
        first, *_ = regions(choice(objects()), 0.6, KINDS)
        assert probability(first, [], RULE) == 0.0
        assert probability(first, [hit("a", 1.0)], RegionRule(scores={}, sure=0.5, lead=0.0)) == 0.0

    def test_another_region_must_lead_by_more_than_the_rule_says(self):
        known = regions(choice(objects()), 0.6, OTHERS)
        found = [[hit("a", 0.74)], [hit("b", 0.8)], [hit("c", 0.2)], []]
        assert best_of(known, found, RULE) == 0
        assert best_of(known, found, RULE.model_copy(update={"lead": 0.0})) == 1
        assert best_of(known, [[hit("a", 0.5)], *found[1:]], RULE) == 1
        assert best_of(known, [[], [], [], []], RULE) == 0

    def test_sure_is_a_matter_of_the_threshold(self):
        first = regions(choice(objects()), 0.6, KINDS)[0]
        odds = probability(first, [hit("a", 0.9)], RULE)
        assert is_sure(first, [hit("a", 0.9)], RULE.model_copy(update={"sure": odds}))
        assert not is_sure(first, [hit("a", 0.9)], RULE.model_copy(update={"sure": odds + 1e-6}))
        assert is_sure(first, [hit("a", 0.1)], RegionRule(scores={"whole": WEIGHTS}, sure=0.9, lead=0.0))


class TestRegions:
    def kinds(self, found, kinds=KINDS):
        return [region.kind for region in regions(choice(found), 0.6, kinds)]

    def test_the_first_is_the_one_that_was_chosen_without_asking(self):
        assert self.kinds(objects()) == ["detected", "middle", "second", "centre", "whole"]
        assert self.kinds(objects()[:1]) == ["detected", "middle", "centre", "whole"]
        assert self.kinds([]) == ["centre", "middle", "whole"]
        unsure = [Detected(SMALL, 0.3, [("toys", 0.3)])]
        assert self.kinds(unsure) == ["centre", "middle", "detected", "whole"]

    def test_the_middle_is_that_of_the_first_and_its_object(self):
        first, middle, *_ = regions(choice(objects()), 0.6, KINDS)
        assert middle.box == pytest.approx((0.07, 0.112, 0.43, 0.688))
        assert middle.found is first.found

    def test_other_kinds_are_left_out_but_for_the_first(self):
        assert self.kinds(objects(), {"whole"}) == ["detected", "whole"]

    def test_choosing_says_what_and_keeps_all_objects(self):
        before = choice(objects())
        _, second, middle, whole = regions(before, 0.6, OTHERS)
        after = chosen(before, second)
        assert (after.source, after.box, [each.score for each in after.objects]) == ("detected", SMALL, [0.4, 0.9])
        assert after.main is before.objects[1]
        for region, source in ((middle, "centre"), (whole, "whole")):
            after = chosen(before, region)
            assert (after.source, after.box, after.main) == (source, region.box, None)
            assert after.objects == before.objects


class FixedDetector:
    """Finds the same wherever it looks."""

    def __init__(self, found):
        self.found = found

    async def detect(self, image, *, seconds):
        return Detection(self.found, "fixed@1")


@dataclass
class Recording(TileEmbedder):
    """An embedder that fails from its second call on, if told to, and notes what it may take."""

    later: Exception | None = None
    asked: list = field(default_factory=list)

    async def embed(self, crops, model, *, seconds):
        self.asked.append((len(crops), seconds))
        if len(self.asked) > 1 and self.later is not None:
            raise self.later
        return await super().embed(crops, model, seconds=seconds)


def world(rule=RULE, detector=None, **changes):
    tuning, rules = replace(UNTUNED, regions=rule), replace(RULES, **changes)
    return World(STOCK, tuning=tuning, rules=rules, detector=detector, embedder=Recording())


def two_things():
    """A large thing that nobody stocks beside a smaller one that is stocked."""
    return photo((tile(UNKNOWN, 240), 20, 120), (tile(3, 120), 440, 180))


def stages(world):
    return [stage.name for stage in world.progress.stages]


async def test_the_second_object_is_taken_when_the_catalogue_knows_it():
    scanned = world()
    answer = await scanned.scan(two_things())
    assert (answer.outcome, best(answer), answer.choice.source) == ("matched", "robot", "detected")
    assert answer.choice.box == answer.choice.objects[0].box
    assert answer.choice.box.x_min > 0.5
    assert stages(scanned).count("regions") == 1
    assert [count for count, _ in scanned.embedder.asked] == [1, 4], "the others in one batch"
    assert answer.categories[0][0] == "toys"
    assert answer.crop.shape[0] == answer.crop.shape[1]
    assert (answer.missing, answer.index_time is not None) == ([], True)


async def test_the_whole_photo_is_taken_when_it_is_the_product():
    """A package that fills the photo, and a detector that boxes its logo."""
    package = cv2.resize(tile(4), (640, 480), interpolation=cv2.INTER_NEAREST)
    logo = FixedDetector([Detected(Box(0.0, 0.0, 0.5, 0.55), 0.8, [("toys", 0.8)])])
    answer = await world(detector=logo).scan(package)
    assert (answer.outcome, best(answer), answer.choice.source) == ("matched", "chair", "whole")
    assert (answer.choice.box, answer.choice.main) == ((0.0, 0.0, 1.0, 1.0), None)
    assert len(answer.choice.objects) == 1
    assert (await world(None, detector=logo).scan(package)).outcome != "matched", "which the logo alone is not"


async def test_a_thing_is_known_by_its_middle_and_the_answer_is_of_all_of_it():
    """A product in a frame that takes up most of the box."""
    frame = cv2.copyMakeBorder(tile(3, 144), 28, 28, 28, 28, cv2.BORDER_CONSTANT, value=(250, 250, 0))
    framed = photo((frame, 200, 100))
    scanned = world(RULE.model_copy(update={"lead": 0.0}))
    answer = await scanned.scan(framed)
    assert (answer.outcome, best(answer), answer.choice.source) == ("matched", "robot", "detected")
    assert answer.choice.box.x_max - answer.choice.box.x_min == pytest.approx(200 / 640, abs=0.02)
    similarities = [hit.similarity for hit in answer.candidates]
    assert similarities == sorted(similarities, reverse=True)
    assert len({hit.image_id for hit in answer.candidates}) == len(similarities)
    without = RegionRule(scores=dict.fromkeys(OTHERS, WEIGHTS), sure=0.9, lead=0.0)
    unseen = await world(without).scan(framed)
    assert unseen.candidates[0].similarity < similarities[0]


async def test_a_sure_first_region_is_all_that_is_looked_at():
    scanned = world()
    answer = await scanned.scan(photo((tile(3), 240, 160)))
    assert (best(answer), answer.choice.source) == ("robot", "detected")
    assert "regions" not in stages(scanned)
    assert [count for count, _ in scanned.embedder.asked] == [1]


@pytest.mark.parametrize(("rule", "changes"), [(None, {}), (RULE, {"look_further": False})])
async def test_without_the_rule_all_is_as_before(rule, changes):
    scanned = world(rule, **changes)
    answer = await scanned.scan(two_things())
    assert (answer.choice.source, answer.choice.box.x_max < 0.5) == ("detected", True)
    assert answer.outcome == "not_in_catalogue"
    assert "regions" not in stages(scanned)
    assert [count for count, _ in scanned.embedder.asked] == [1]


async def test_what_the_caller_points_at_is_never_overridden():
    scanned = world()
    pointed = Box(0.02, 0.2, 0.42, 0.8)  # at the thing that nobody stocks
    answer = await scanned.scan(two_things(), focus=pointed)
    assert answer.choice.box.x_max < 0.5
    aside = Box(0.36, 0.5, 0.5, 0.7)
    beside = await scanned.scan(two_things(), focus=aside)
    assert (beside.choice.source, beside.choice.box) == ("focus", aside)
    assert "regions" not in stages(scanned)
    assert [count for count, _ in scanned.embedder.asked] == [1, 1]


async def test_a_stream_looks_at_one_region_of_each_frame():
    scanned = world()
    await scanned.scan(two_things(), memory=FrameMemory(0.6, 8))
    assert [count for count, _ in scanned.embedder.asked] == [1]


@pytest.mark.parametrize("error", [UnavailableError("down"), DeadlineError("too late")])
async def test_when_the_others_are_lost_the_first_stands_and_nothing_is_ruled_out(error):
    scanned = world()
    scanned.embedder.later = error
    answer = await scanned.scan(two_things())
    assert (answer.outcome, answer.choice.box.x_max < 0.5) == ("undecided", True)
    assert [(each.part, each.fallback) for each in answer.missing] == [
        ("embedder", "searched for one part of the photo only")
    ]


async def test_a_shard_lost_on_the_second_look_leaves_the_first():
    scanned = world()
    search = scanned.index.search
    calls = []

    async def failing(*given, **how):
        calls.append(given)
        scanned.index.lost = {"home"} if len(calls) > 1 else set()
        return await search(*given, **how)

    scanned.index.search = failing
    answer = await scanned.scan(two_things())
    assert len(calls) == 1 + 4
    assert (answer.outcome, answer.choice.box.x_max < 0.5) == ("undecided", True)
    assert [each.part for each in answer.missing] == ["search/home"]


async def test_a_second_look_gets_less_than_half_of_the_time_that_is_left():
    scanned = world()
    await scanned.scan(two_things(), seconds=1.0)
    (_, first), (_, second) = scanned.embedder.asked
    assert second <= 0.4 * 1.0
    assert second < first


async def test_signs_are_read_from_the_vectors_of_the_regions_own_pixels():
    """The crop of the answer is the region's, as is its vector."""
    scanned = world()
    answer = await scanned.scan(two_things())
    near = scanned.index.rows[answer.embedder_model][3][2]
    assert float(near @ answer.vector) > 0.95
    assert np.asarray(answer.crop).std() > 20

"""The small parts of a scan."""

from __future__ import annotations

import math
import time
import uuid

import cv2
import numpy as np
import pytest

from services.gateway import acceptance
from services.gateway.acceptance import Signs, agreement, probability, signs_of, threshold
from services.gateway.candidates import grouped, lead, likely_categories, merged, nearest, vectors
from services.gateway.cropping import choose
from services.gateway.models import ModelList, Models
from services.gateway.pictures import cropped, prepared
from services.gateway.ports import Box, Detected, ShardHits
from services.gateway.progress import Progress
from services.gateway.ranking import Prints, Ranking, by_similarity
from services.gateway.scan_id import new_scan_id
from shiwu.chassis.errors import DeadlineError, UnavailableError
from shiwu.inference.tuning import AcceptanceRule
from shiwu.vision.resize import fit, shrunk
from tests.unit.gateway.world import GENERAL, OWN, TileEmbedder, TileHit, photo, tile


def hit(image_id, similarity, product_id="", style_id="", category="toys", vector=b""):
    return TileHit(image_id, product_id or image_id, style_id, category, similarity, vector)


def known(similarity, margin):
    return Signs(similarity, margin, None, 1.0)


class TestAcceptance:
    rule = AcceptanceRule(bias=-2.0, similarity=3.0, margin=4.0, threshold=0.5, thresholds={"shoes": 0.7})

    def test_is_the_documented_logistic(self):
        assert probability(known(0.8, 0.1), self.rule) == pytest.approx(1 / (1 + math.exp(-(-2.0 + 2.4 + 0.4))))

    def test_hubness_and_agreement_count_where_they_are_used(self):
        rule = self.rule.model_copy(update={"hubness": -5.0, "typical_hubness": 0.4, "agreement": 0.5})
        signs = Signs(0.8, 0.1, 0.6, 0.4)
        assert probability(signs, rule) == pytest.approx(1 / (1 + math.exp(-(0.8 - 1.0 + 0.2))))
        unknown = Signs(0.8, 0.1, None, 0.4)
        assert probability(unknown, rule) == pytest.approx(1 / (1 + math.exp(-(0.8 + 0.2))))

    def test_agreement_is_among_the_first_five(self):
        assert agreement(["a", "b", "a", "c", "a", "a", "a"]) == 0.6
        assert agreement(["a", "b"]) == 0.5
        assert agreement(["a"]) == 1.0

    def test_what_another_product_shares_counts_against_the_best_ones_print(self):
        def shared(*values, complete=True):
            prints = Prints(*[np.array(values, np.float32)] * 3)
            ranking = by_similarity([0.9, 0.8, 0.7])._replace(prints=prints)
            return signs_of(ranking, ["a", "a", "b"], similarity=0.9, margin=0.2, complete=complete).shared_print

        assert shared(0.5, 0.5, 0.0) == 0.5, "another picture of it is no rival"
        assert shared(0.5, 0.0, 0.25) == 0.375
        assert shared(0.5, 0.0, 0.5) == 0.25, "one thing that is listed twice still shares something"
        assert shared(0.5, 0.0, 0.0, complete=False) == 0.25, "what is missing may share as much"
        assert shared(0.0, 0.0, 1.0, complete=False) == -0.5

    @pytest.mark.parametrize(("margin", "counted"), [(0.2, 0.0), (-0.1, -0.1)])
    def test_where_not_all_was_searched_no_lead_counts(self, margin, counted):
        ranking = by_similarity([0.9])
        assert signs_of(ranking, ["a"], similarity=0.9, margin=margin).margin == margin
        assert signs_of(ranking, ["a"], similarity=0.9, margin=margin, complete=False).margin == counted

    @pytest.mark.parametrize(("similarity", "expected"), [(1.0, 1.0), (-1.0, 0.0)])
    def test_extreme_parameters_do_not_overflow(self, similarity, expected):
        rule = AcceptanceRule(bias=0.0, similarity=1e4, margin=0.0, threshold=0.5)
        assert probability(known(similarity, 0.0), rule) == pytest.approx(expected)

    def test_a_category_can_have_a_threshold_of_its_own(self):
        assert (threshold("shoes", self.rule), threshold("bags", self.rule)) == (0.7, 0.5)

    def test_the_default_has_the_odds_that_it_says(self):
        assert probability(known(0.75, 0.0), acceptance.DEFAULT_RULE) == pytest.approx(0.5)
        assert probability(known(0.68, 0.1), acceptance.DEFAULT_RULE) == pytest.approx(0.5, abs=0.02)


class TestCropping:
    def objects(self):
        boxes = Box(0.0, 0.0, 0.5, 0.5), Box(0.5, 0.5, 1.0, 1.0)
        return [Detected(box, score, [("toys", score)]) for box, score in zip(boxes, (0.9, 0.4), strict=True)]

    def choice(self, objects, focus=None):
        return choose(objects, focus, focus_iou=0.3, centre_share=0.8)

    def test_the_most_confident_object_is_the_main_one(self):
        choice = self.choice(self.objects())
        assert (choice.source, choice.box, choice.main.score) == ("detected", Box(0.0, 0.0, 0.5, 0.5), 0.9)

    def test_nothing_found_is_the_centre(self):
        choice = self.choice([])
        assert (choice.source, choice.main, choice.box) == ("centre", None, pytest.approx((0.1, 0.1, 0.9, 0.9)))

    def test_the_best_fitting_object_moves_to_the_front(self):
        choice = self.choice(self.objects(), Box(0.5, 0.5, 0.9, 0.9))
        assert (choice.source, [each.score for each in choice.objects]) == ("detected", [0.4, 0.9])

    @pytest.mark.parametrize("objects", [True, False])
    def test_a_focus_that_fits_nothing_is_searched_itself(self, objects):
        focus = Box(0.4, 0.4, 0.6, 0.6)
        choice = self.choice(self.objects() if objects else [], focus)
        assert (choice.source, choice.box, choice.main) == ("focus", focus, None)


class TestCandidates:
    def test_merging_sorts_by_similarity_and_keeps_shards_order_for_ties(self):
        shards = [ShardHits("a", [hit("a1", 0.9), hit("a2", 0.5)]), ShardHits("b", [hit("b1", 0.9), hit("b2", 0.7)])]
        assert [each.image_id for each in merged(shards)] == ["a1", "b1", "b2", "a2"]
        assert merged([]) == []

    def test_nearest_takes_each_picture_once_and_only_these_categories(self):
        hits = [hit("a", 0.9), hit("b", 0.8, category="bags"), hit("a", 0.7), hit("c", 0.6), hit("d", 0.5)]
        assert [each.image_id for each in nearest(hits, 2, {"toys"})] == ["a", "c"]
        assert [each.image_id for each in nearest(hits, 9)] == ["a", "b", "c", "d"]

    @pytest.mark.parametrize(
        ("mass", "expected"),
        [(0.0, ["a"]), (0.6, ["a"]), (0.9, ["a", "b"]), (0.95, ["a", "b", "c"]), (1.0, ["a", "b", "c"])],
    )
    def test_likely_categories_are_the_fewest_with_the_mass(self, mass, expected):
        assert likely_categories([("a", 0.6), ("b", 0.3), ("c", 0.1)], mass) == expected
        assert likely_categories([], mass) == []

    def test_likely_categories_forgive_float32_sums(self):
        scores = [("a", float(np.float32(0.6))), ("b", float(np.float32(0.3)) - 1e-7), ("c", 0.1)]
        assert likely_categories(scores, 0.9) == ["a", "b"]

    def test_grouping_takes_each_product_at_its_best_picture(self):
        hits = [
            hit("i1", 0.9, "p1", "s1"),
            hit("i2", 0.8, "p2"),
            hit("i3", 0.7, "p1", "s1"),
            hit("i4", 0.6, "p3", "s1"),
            hit("i5", 0.5, "p4"),
        ]
        styles = grouped(hits, Ranking(np.array([2, 1, 0, 3, 4]), np.zeros(5, np.float32), "plain"))
        assert [(s.style_id, [(p.product_id, p.image_id) for p in s.products]) for s in styles] == [
            ("s1", [("p1", "i3"), ("p3", "i4")]),
            ("", [("p2", "i2")]),
            ("", [("p4", "i5")]),
        ]
        assert styles[0].products[0].similarity == 0.7

    def test_the_lead_is_over_other_products(self):
        hits = [hit("i1", 0.9, "p1"), hit("i2", 0.85, "p1"), hit("i3", 0.7, "p2")]
        best = grouped(hits, Ranking(np.array([0, 1, 2]), np.zeros(3), "none"))[0].products[0]
        assert lead(best, hits) == pytest.approx(0.2)
        assert lead(best, hits[:2]) == 0.0

    def test_vectors_are_checked(self):
        row = np.ones(4, "<f4").tobytes()
        assert vectors([hit("a", 1.0, vector=row)] * 2, 4).shape == (2, 4)
        with pytest.raises(UnavailableError, match="'b' has 12 bytes; expected 16"):
            vectors([hit("a", 1.0, vector=row), hit("b", 1.0, vector=row[4:])], 4)
        with pytest.raises(UnavailableError, match="not finite"):
            vectors([hit("a", 1.0, vector=np.full(4, np.nan, "<f4").tobytes())], 4)


class TestPictures:
    @pytest.mark.parametrize("size", [(301, 777), (640, 640), (1200, 1601), (319, 320), (2, 2000)])
    def test_a_photo_for_the_detector_needs_no_resizing_any_more(self, size):
        random = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        image = cv2.GaussianBlur(random, (0, 0), 6)
        small = prepared(image, 320).small
        exact = fit(image, 320, "letterbox")[0]
        height, width = small.shape[:2]
        top, left = (320 - height) // 2, (320 - width) // 2
        difference = np.abs(exact[top : top + height, left : left + width].astype(int) - small)
        assert max(height, width) == 320
        assert difference.mean() < 1.5
        assert (np.delete(exact, np.s_[top : top + height], axis=0) == 127).all()

    def test_a_crop_fitted_for_the_embedder_is_what_it_would_have_made_itself(self):
        image = np.random.default_rng(0).integers(0, 256, (301, 777, 3), dtype=np.uint8)
        assert (fit(shrunk(image, 224), 224, "letterbox")[0] == fit(image, 224, "letterbox")[0]).all()

    def test_small_pictures_stay_as_they_are(self):
        image = tile(1, 64)
        assert prepared(image, 320).small is image

    def test_an_extreme_shape_keeps_a_pixel(self):
        assert shrunk(np.zeros((2, 5000, 3), np.uint8), 320).shape == (1, 320, 3)

    def test_crops_reach_beyond_the_box_by_the_margin(self):
        image = photo((tile(1, 100), 200, 100), size=(400, 800))
        box = Box(0.25, 0.25, 0.375, 0.5)
        assert (cropped(image, box, margin=0.0, size=224) == tile(1, 100)).all()
        assert cropped(image, box, margin=0.1, size=224).shape == (120, 120, 3)
        assert cropped(image, box, margin=0.1, size=60).shape == (60, 60, 3)


class TestModels:
    def test_a_category_without_a_model_takes_the_default_one(self):
        models = Models([GENERAL, OWN])
        assert (models.of("shoes"), models.of("toys"), models.default) == (OWN, GENERAL, GENERAL)

    async def test_the_list_is_asked_for_again_when_old_or_wrong(self):
        now = 0.0
        embedder = TileEmbedder()
        models = ModelList(embedder, max_age=60.0, clock=lambda: now)
        await models.current(seconds=1.0)
        now = 59.0
        await models.current(seconds=1.0)
        assert embedder.lists == 1
        now = 61.0
        await models.current(seconds=1.0)
        assert embedder.lists == 2
        models.forget()
        await models.current(seconds=1.0)
        assert embedder.lists == 3

    async def test_an_old_list_survives_an_embedder_that_does_not_answer(self):
        now = 0.0
        embedder = TileEmbedder()
        models = ModelList(embedder, max_age=60.0, clock=lambda: now)
        first = await models.current(seconds=1.0)
        now = 61.0
        embedder.error = UnavailableError("down")
        assert await models.current(seconds=1.0) is first


class TestProgress:
    def test_a_step_gets_a_share_of_what_is_left(self):
        progress = Progress(2.0)
        assert progress.budget(5.0, share=0.5) == pytest.approx(1.0, abs=0.05)
        assert progress.budget(0.1, share=0.5) == 0.1

    def test_nothing_left_is_an_error(self):
        with pytest.raises(DeadlineError, match=r"the scan's time, 0\.001 s, is up"):
            Progress(0.001).budget(1.0, share=1.0)

    def test_losses_are_noted_once_each(self):
        progress = Progress(1.0)
        for reason in ("first", "second"):
            with progress.may_lose("search", "none"):
                raise UnavailableError(reason)
        assert [(each.part, each.reason) for each in progress.missing] == [("search", "first")]

    def test_failed_stages_are_measured_too(self):
        progress = Progress(1.0)
        with progress.may_lose("x", "y"), progress.stage("detect"):
            time.sleep(0.01)
            raise UnavailableError("down")
        assert progress.stages[0].name == "detect"
        assert progress.stages[0].elapsed >= 0.01


def test_scan_ids_are_version_7_and_sort_by_time():
    first = new_scan_id()
    time.sleep(0.002)
    later = [new_scan_id() for _ in range(100)]
    assert all(first < each for each in later)
    assert len({first, *later}) == 101
    parsed = uuid.UUID(first)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert abs((parsed.int >> 80) / 1000 - time.time()) < 5

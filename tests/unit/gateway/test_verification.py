"""Candidates that show the same print as the photo rise."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.messages import to_response
from services.gateway.ranking import Prints, by_similarity
from services.gateway.tuning import UNTUNED
from services.gateway.verification import Compared, Verifying, comparable, judged, verified
from shiwu.chassis.errors import UnavailableError
from shiwu.inference.tuning import VerificationRule
from shiwu.v1 import catalog_pb2, gateway_pb2
from shiwu.vision.agreement import Agreement
from shiwu.vision.local_features import VERSION, describe, pack
from shiwu.wire.images import raw_image
from tests.unit.gateway.servers import Mesh
from tests.unit.gateway.world import RULES, DictCatalog, Product, TileHit, World, embed, photo

RULE = VerificationRule(by="picture", categories=("toys",), candidates=10, least=8, enough=40, weight=0.4)
BOXES = [Product("robot box", "toys"), Product("rocket box", "toys")]


def box(name, side=240):
    """A printed box: all look alike but for the letters."""
    image = np.full((side, side, 3), (200, 60, 40), np.uint8)
    rng = np.random.default_rng(sum(map(ord, name)))
    for line in range(5):
        text = "".join(chr(65 + int(each)) for each in rng.integers(0, 26, 6))
        cv2.putText(image, text, (8, 40 + 45 * line), cv2.FONT_HERSHEY_DUPLEX, 1.6, (250, 250, 230), 3)
    return image


def shop(*rules, **changes):
    """The photo's own product is the less similar one."""
    world = World((), tuning=replace(UNTUNED, verification=rules), rules=replace(RULES, **changes))
    world.detector.scores = (("toys", 0.9),)
    own, other = (embed(box(each.product_id)) for each in BOXES)
    for product, vector in zip(BOXES, (own + 0.3 * np.roll(own, 7), 3 * own + other), strict=True):
        key = f"{product.product_id}-a"
        world.index.add(key, product, (vector / np.linalg.norm(vector)).astype(np.float32))
        world.catalog.features[key] = pack(describe(box(product.product_id)))
    return world


SEEN = photo((box("robot box"), 180, 120))


async def found(world, **options):
    answer = await world.scan(SEEN, **options)
    return answer, [each.products[0].product_id for each in answer.styles]


async def test_the_same_print_comes_before_what_only_looks_alike() -> None:
    _, order = await found(shop())
    assert order == ["rocket box", "robot box"]
    world = shop(RULE)
    answer, order = await found(world)
    assert order == ["robot box", "rocket box"]
    assert world.catalog.compared == [["rocket box-a", "robot box-a"]]
    assert answer.ranking.prints.proofs.tolist()[::-1] == pytest.approx([1.0, 0.0], abs=0.03)
    assert not answer.missing
    evidence = to_response(replace(answer, facts=None), "s", world.progress, explain=True).evidence
    assert [each.image_id for each in evidence.candidates] == ["robot box-a", "rocket box-a"]
    assert [each.proof for each in evidence.candidates] == pytest.approx([1.0, 0.0], abs=0.03)
    assert "verify" in [each.stage for each in evidence.stages]


@pytest.mark.parametrize(("rules", "changes"), [((), {}), ((RULE,), {"verify": False})])
async def test_nothing_is_compared_unless_it_was_tuned_and_is_wanted(rules, changes) -> None:
    world = shop(*rules, **changes)
    answer, order = await found(world)
    assert order == ["rocket box", "robot box"]
    assert (world.catalog.compared, answer.ranking.prints) == ([], None)


async def test_other_categories_and_farther_pictures_are_not_compared() -> None:
    world = shop(RULE.model_copy(update={"categories": ("bags",)}))
    answer, order = await found(world)
    assert order == ["rocket box", "robot box"]
    assert world.catalog.compared == []
    assert answer.ranking.prints.proofs.tolist() == [0.0, 0.0]
    world = shop(RULE.model_copy(update={"candidates": 1}))
    await found(world)
    assert world.catalog.compared == [["rocket box-a"]]


@pytest.mark.parametrize("packed", [None, b"\x01 of another release"])
async def test_pictures_without_features_of_this_release_stay_where_they_are(packed) -> None:
    world = shop(RULE)
    del world.catalog.features["robot box-a"]
    if packed:
        world.catalog.features["robot box-a"] = packed
    answer, order = await found(world)
    assert order == ["rocket box", "robot box"]
    assert not answer.missing


@pytest.mark.parametrize("broken", ["down", "nonsense"])
async def test_without_features_candidates_stay_ranked_and_the_answer_says_so(broken) -> None:
    world = shop(RULE)
    if broken == "down":
        world.catalog.error = UnavailableError("catalog: no connection")
    else:
        world.catalog.features = dict.fromkeys(world.catalog.features, VERSION + b"nonsense")
    answer, order = await found(world)
    assert order == ["rocket box", "robot box"]
    [missing] = answer.missing
    assert (missing.part, missing.fallback) == ("catalog", "did not compare prints")
    assert answer.outcome != "not_in_catalogue"


async def test_the_catalogue_compares_what_the_gateway_sends_it() -> None:
    world = shop(RULE)
    async with Mesh(world).running() as mesh:
        answer = await mesh.stub.Scan(gateway_pb2.ScanRequest(image=raw_image(SEEN), explain=True))
    candidates = answer.evidence.candidates
    assert [each.image_id for each in candidates] == ["robot box-a", "rocket box-a"]
    assert [each.proof for each in candidates] == pytest.approx([1.0, 0.0], abs=0.03)
    assert not answer.missing


@pytest.mark.parametrize(
    "nonsense", [{"features": -1}, {"coverage": 1.5}, {"coverage": float("nan")}, {"colour": -0.5}, {"detail": 2.0}]
)
async def test_an_agreement_that_cannot_be_is_not_counted(nonsense) -> None:
    async with Mesh(shop(RULE)).running() as mesh:
        mesh.catalog.agreement = catalog_pb2.Agreement(**nonsense)
        answer = await mesh.stub.Scan(gateway_pb2.ScanRequest(image=raw_image(SEEN)))
    [missing] = answer.missing
    assert (missing.part, missing.fallback) == ("catalog", "did not compare prints")
    assert "agreements[0]" in missing.reason


async def test_an_early_end_of_the_scan_leaves_no_unheard_error() -> None:
    unheard = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    catalog = DictCatalog(error=UnavailableError("catalog: no connection"))
    verifying = Verifying(catalog, box("robot box"), [TileHit("a", "p", "", "toys", 0.5, b"")], [RULE], seconds=60.0)
    verifying.abandon()
    await asyncio.wait([verifying._asked])
    del verifying
    gc.collect()
    await asyncio.sleep(0)
    assert unheard == []


def test_proofs_grow_from_least_to_enough_and_other_colours_or_parts_prove_less() -> None:
    def proofs(*agreements):
        return judged([Compared("toys", "s", 0.5, each) for each in agreements], [RULE]).proofs.tolist()

    counts = proofs(*(Agreement(count, 0.5, 1.0, 1.0) for count in (0, 8, 9, 24, 40, 150)))
    assert counts == sorted(counts)
    assert (counts[1], counts[4], counts[5]) == (0.0, 1.0, 1.0)
    assert 0.0 < counts[2] < 0.5 < counts[3] < 1.0
    assert proofs(None, Agreement(150, 1.0, 0.25, 1.0)) == [0.0, 0.25]
    assert proofs(Agreement(150, 1.0, 1.0, 0.0), Agreement(150, 1.0, 1.0, 0.5)) == [0.5, 0.75], "parts differ"
    assert proofs() == []


BY_STYLE = RULE.model_copy(update={"by": "style", "weight": 0.5})


def test_a_style_is_proven_by_any_of_its_pictures_whatever_their_colour() -> None:
    full, other_colour = Agreement(40, 1.0, 1.0), Agreement(40, 1.0, 0.0)
    seen = [("toys", "s", 0.75, None), ("toys", "t", 0.5, full), ("toys", "s", 0.5, other_colour)]
    prints = judged([Compared(*each) for each in (*seen, ("bags", "s", 0.5, full))], [BY_STYLE])
    assert prints.proofs.tolist() == [1.0, 1.0, 1.0, 0.0]
    assert prints.worth.tolist() == [0.5, 0.5, 0.0, 0.0]
    assert prints.shared.tolist() == [0.0] * 4


def test_within_its_style_what_shows_the_print_in_other_colours_falls_behind() -> None:
    """The nearest picture is another colourway's; the third is of another style, and nearer than the photo's own."""
    similarities, styles = [0.75, 0.5, 0.625], ["s", "s", "t"]
    agreements = [Agreement(40, 1.0, 0.25), None, None]
    seen = [Compared("toys", *each) for each in zip(styles, similarities, agreements, strict=True)]
    ranking = verified(by_similarity(similarities), judged(seen, [BY_STYLE]))
    assert ranking.order.tolist() == [1, 0, 2]
    distances = 1.0 - np.array(similarities)
    assert ranking.distances.min() == distances.min() - 0.5, "the style is as near as without its colours"


@given(
    st.lists(
        st.tuples(st.sampled_from("stu"), st.floats(-1, 1, width=32), st.integers(0, 60), st.floats(0, 1, width=32)),
        min_size=1,
        max_size=12,
    )
)
def test_other_colours_move_no_style(seen) -> None:
    def nearest(colour):
        candidates = [Compared("toys", style, near, Agreement(n, 1.0, c * colour)) for style, near, n, c in seen]
        lifted = np.array([each.similarity for each in candidates]) + judged(candidates, [BY_STYLE]).worth
        return {style: max(lifted[[each[0] == style for each in seen]]) for style, *_ in seen}

    assert nearest(0.0) == pytest.approx(nearest(1.0), abs=1e-6)


def test_what_is_shared_is_of_place_colour_and_every_part_as_far_as_it_is_proven() -> None:
    agreements = [Agreement(40, 0.5, 0.5, 0.5), Agreement(8, 0.9, 1.0, 1.0), None, Agreement(100, 1.0, 1.0, 0.25)]
    agreements += [Agreement(12, 1.0, 1.0, 1.0)]
    shared = judged([Compared("toys", "s", 0.5, each) for each in agreements], [RULE]).shared
    assert shared[:4].tolist() == [0.125, 0.0, 0.0, 0.25]
    assert shared[4] == pytest.approx(np.log(5) / np.log(33))


def test_each_rule_compares_its_own_categories_as_far_as_it_says() -> None:
    far = RULE.model_copy(update={"categories": ("bags", "shoes"), "candidates": 4})
    near = RULE.model_copy(update={"candidates": 2})
    assert comparable(["toys", "bags", "toys", "shoes", "bags", "books"], [near, far]) == [0, 1, 3]


def test_what_is_proven_rises_by_its_worth_and_equals_keep_their_order() -> None:
    plain = by_similarity([0.9, 0.8, 0.8, 0.4])
    proven, nothing = np.array([0.0, 0.0, 0.2, 0.4], np.float32), np.zeros(4, np.float32)
    ranking = verified(plain, Prints(nothing, proven, nothing))
    assert ranking.order.tolist() == [2, 0, 1, 3]
    np.testing.assert_allclose(ranking.distances, [0.1, 0.2, 0.0, 0.2], atol=1e-6)
    assert ranking.mode == plain.mode
    same = verified(plain, Prints(nothing, nothing, nothing))
    assert same.order.tolist() == plain.order.tolist()

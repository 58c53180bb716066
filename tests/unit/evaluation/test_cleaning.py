"""What the figures of cleaning are made of: truth that is known, and counts against slow and obvious ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from evaluation.cleaning import denoising, merging, near_pairs, robustness
from evaluation.cleaning.__main__ import _PARTS
from evaluation.cleaning.products import Known, Shown, halves
from evaluation.pages import write_section


def known(products=24, pictures=9, seed=0):
    random = np.random.default_rng(seed)
    shown = [
        Shown(i, f"source {product % 2}", f"style {product // 4}", f"product {product}", f"picture {i}", bytes)
        for i, product in enumerate(np.repeat(np.arange(products), pictures).tolist())
    ]
    shown.sort(key=lambda each: each.source)
    centres = random.normal(size=(products, 32))
    ways = centres[[each.row // pictures for each in shown]] + random.normal(scale=0.3, size=(3, len(shown), 32))
    ways[1:] += 3 * random.normal(size=ways[1:].shape)  # details and misplaced boxes look like nothing
    return Known(shown, *(ways / np.linalg.norm(ways, axis=2, keepdims=True)).astype(np.float32))


def test_no_style_is_in_both_halves_and_every_source_is():
    everything = known()
    sides = halves(everything)
    styles = [{(each.source, each.style) for each in side.pictures} for side in sides]
    assert not styles[0] & styles[1]
    assert all({source for source, _ in side} == {"source 0", "source 1"} for side in styles)
    assert sum(len(side.pictures) for side in sides) == len(everything.pictures)
    for side in sides:
        for row, each in enumerate(side.pictures):
            assert (side.whole[row] == everything.whole[everything.pictures.index(each)]).all()


def test_skus_with_noise_know_what_each_picture_is():
    everything = known()
    skus = denoising.noisy_skus(everything)
    assert {kind for sku in skus for kind in sku.kinds} == set(denoising.KINDS)
    for sku in skus:
        for vector, kind, origin in zip(sku.vectors, sku.kinds, sku.origins, strict=True):
            own = everything.pictures[origin].product == sku.product
            assert own == (kind != "wrong product")
            part = {"detail": everything.detail, "bad box": everything.misplaced}.get(kind, everything.whole)
            assert (vector == part[origin]).all()


def test_every_method_beats_keeping_all_where_noise_is_far_away():
    measured = denoising.measure(*halves(known()))
    keep_all = measured["keep all"].f1
    assert measured["keep all"].score.recall == 1.0
    assert all(each.f1 > keep_all for name, each in measured.items() if name != "keep all")


def test_labels_of_denoising_are_scikit_learns():
    found = denoising.speed(10, 1, 0.3)
    assert found.equal == found.skus == 10


def test_pairs_are_those_of_looking_at_each():
    random = np.random.default_rng(3)
    groups, truth = random.integers(0, 9, 40), random.integers(0, 9, 40)
    found = [(groups[i] == groups[j], truth[i] == truth[j]) for i, j in itertools.combinations(range(40), 2)]
    expected = merging.Pairs(sum(a and b for a, b in found), sum(a for a, _ in found), sum(b for _, b in found))
    assert merging.pairs(groups, truth) == expected
    assert expected.f1 == pytest.approx(
        2 * expected.precision * expected.recall / (expected.precision + expected.recall)
    )


def test_split_products_are_merged_again():
    left, right = halves(known())
    measured = merging.measure(left, right, range(2))
    assert measured[merging.OURS].pairs.f1 > 0.9
    given = merging.split(right, 0)
    for sku, each in zip(given.sku, right.pictures, strict=True):
        assert right.pictures[int(np.flatnonzero(given.sku == sku)[0])].product == each.product
    assert set(given.sku.tolist()) == set(range(len(given.truth)))


def test_made_up_hashes_are_distinct_and_have_near_ones():
    hashes = near_pairs.made_up(3000)
    assert len(set(hashes.tolist())) == len(hashes)
    found = near_pairs.ours(3000, 1)
    assert found.exact
    close = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= near_pairs.RADIUS
    assert found.pairs == (int(close.sum()) - len(hashes)) // 2 > 0


def test_edits_that_people_hardly_see_are_near_and_mirrored_pictures_far():
    random = np.random.default_rng(4)
    blobs = [np.kron(random.integers(0, 255, (6, 8, 3)), np.ones((40, 40, 1))).astype(np.uint8) for _ in range(4)]
    moved = robustness.measure(blobs)
    assert set(moved) == {*robustness.edits(), robustness.UNRELATED}
    assert moved["scale to a half"]["difference"].median <= 2
    assert moved["mirror"]["difference"].median > robustness.RADIUS
    assert moved[robustness.UNRELATED]["perceptual"].within == 0.0


def test_the_page_has_a_section_for_every_part(tmp_path):
    page = tmp_path / "cleaning.md"
    page.write_text(Path("docs/cleaning.md").read_text(encoding="utf-8"), encoding="utf-8")
    for part in _PARTS:
        write_section(page, part, [f"figures of {part}"])
        assert f"figures of {part}" in page.read_text(encoding="utf-8")

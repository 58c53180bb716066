"""Confusion against a slow and obvious classifier, and the stated rules of merging one by one."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from offline.cleaning.confusion import UNTESTED, confusion, nearest_classes, predict
from offline.cleaning.merge import MergeRule, merge

RULE = MergeRule(min_similarity=0.5)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def catalogue(truth, pictures=6, spread=0.6, seed=0):
    """Vectors and SKU names; SKUs of the same truth show the same product."""
    random = np.random.default_rng(seed)
    products = random.normal(size=(max(truth) + 1, 24))
    skus = np.repeat(np.arange(len(truth)), pictures)
    vectors = products[np.array(truth)[skus]] + spread * random.normal(size=(len(skus), 24))
    return unit(vectors), [f"sku-{sku:02d}" for sku in skus]


def merged(vectors, skus, rule=RULE):
    return merge(vectors, skus, [f"picture-{i:03d}" for i in range(len(skus))], rule)


def slowly_predicted(vectors, classes, folds, shrinkage):
    """Every picture against every class, fold by fold, by Mahalanobis distance."""
    place = [int((classes[:i] == classes[i]).sum()) for i in range(len(classes))]
    single = [(classes == each).sum() == 1 for each in classes]
    fold = [UNTESTED if single[i] else (place[i] + classes[i]) % folds for i in range(len(classes))]
    found = []
    for i, x in enumerate(vectors.astype(float)):
        if single[i]:
            found.append(UNTESTED)
            continue
        train = [j for j in range(len(classes)) if fold[j] != fold[i]]
        means = {c: np.mean([vectors[j] for j in train if classes[j] == c], axis=0) for c in set(classes[train])}
        apart = np.array([vectors[j] - means[classes[j]] for j in train], float)
        within = apart.T @ apart / (len(train) - len(means))
        size = len(within)
        inverse = np.linalg.inv((1 - shrinkage) * within + shrinkage * np.trace(within) / size * np.eye(size))
        count = {c: sum(classes[j] == c for j in train) for c in means}
        found.append(min(means, key=lambda c: (x - means[c]) @ inverse @ (x - means[c]) / (1 + 1 / count[c])))
    return found


@pytest.mark.parametrize("folds", [2, 5])
def test_predictions_are_those_of_the_slow_classifier(folds):
    vectors, skus = catalogue([0, 0, 1, 2, 3, 3], spread=1.0)
    classes = np.unique(skus, return_inverse=True)[1]
    keep = np.ones(len(classes), bool)
    keep[7:12] = False  # a class of one picture
    vectors, classes = vectors[keep], classes[keep]
    everything = np.tile(np.arange(6), (len(classes), 1))
    assert predict(vectors, classes, everything, folds, 0.3).tolist() == slowly_predicted(vectors, classes, folds, 0.3)


def test_counts_are_sparse_and_without_the_diagonal():
    found = confusion(np.array([0, 0, 0, 1, 1, 2]), np.array([1, 1, 0, 1, 0, UNTESTED]))
    assert list(zip(found.rows, found.columns, found.counts, strict=True)) == [(0, 1, 2), (1, 0, 1)]
    assert found.tested.tolist() == [3, 2, 0]


def test_the_nearest_classes_are_those_of_all_similarities():
    means = np.random.default_rng(1).normal(size=(1500, 8)).astype(np.float32)  # more than a block
    found = nearest_classes(means, 5)
    units = unit(means)
    for row in (0, 777, 1499):
        order = [each for each in np.argsort(-(units @ units[row]), kind="stable") if each != row]
        assert found[row].tolist() == order[:5]


def test_skus_of_one_product_merge_and_others_do_not():
    groups = merged(*catalogue([0, 1, 2, 0, 3, 2, 0]))
    assert [group.skus for group in groups] == [("sku-00", "sku-03", "sku-06"), ("sku-02", "sku-05")]


def test_a_group_tells_why():
    vectors, skus = catalogue([0, 1, 0])
    [group] = merged(vectors, skus)
    [step] = group.steps
    assert (step.first, step.second) == (("sku-00",), ("sku-02",))
    assert step.forth.of == step.back.of == 6
    assert all(skus[int(each[-3:])] == "sku-00" for each in step.forth.shown)
    assert len(step.forth.shown) == min(step.forth.pictures, 5)
    assert group.score == step.confusion == (step.forth.share + step.back.share) / 2 >= step.threshold
    own = [unit(vectors[np.array(skus) == sku].mean(axis=0, keepdims=True))[0] for sku in ("sku-00", "sku-02")]
    assert step.similarity == pytest.approx(float(own[0] @ own[1]), abs=1e-5)


def test_rows_in_another_order_give_the_same_groups():
    vectors, skus = catalogue([0, 1, 2, 0, 1])
    ids = [f"picture-{i}" for i in range(len(skus))]
    order = np.random.default_rng(5).permutation(len(skus))
    other = merge(vectors[order], [skus[i] for i in order], [ids[i] for i in order], RULE)
    assert other == merge(vectors, skus, ids, RULE)


def chain():
    """Three looks 25 degrees apart, so blurred that neighbours are confused, and far products around."""
    random = np.random.default_rng(2)
    angles = np.radians([0, 25, 50])
    centres = np.zeros((6, 12))
    centres[:3, :2] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centres[range(3, 6), range(5, 8)] = 1
    skus = np.repeat(np.arange(6), 40)
    blur = np.zeros((len(skus), 12))
    blur[:, :2] = random.normal(scale=0.25, size=(len(skus), 2))
    return unit(centres[skus] + blur + random.normal(scale=0.02, size=blur.shape)), [f"sku-{sku}" for sku in skus]


def test_a_chain_whose_ends_are_unlike_does_not_merge_whole():
    vectors, skus = chain()
    whole = ("sku-0", "sku-1", "sku-2")
    assert whole in [group.skus for group in merged(vectors, skus, RULE.model_copy(update={"min_similarity": -1.0}))]
    guarded = merged(vectors, skus, RULE.model_copy(update={"min_similarity": 0.8}))  # ends: cos 50 degrees = .64
    assert [len(group.skus) for group in guarded] == [2]


def test_a_sku_of_one_picture_merges_by_what_is_taken_for_it_and_two_of_them_do_not():
    vectors, skus = catalogue([0, 0, 1, 2, 2], pictures=6)
    kept = [i for i, sku in enumerate(skus) if sku in {"sku-01", "sku-02"} or i % 6 == 0]
    groups = merged(vectors[kept], [skus[i] for i in kept])
    assert [group.skus for group in groups] == [("sku-00", "sku-01")]
    assert groups[0].steps[0].forth.of == 0
    assert groups[0].steps[0].back.pictures > 0


def test_nothing_at_all_and_one_sku_only():
    assert merged(np.empty((0, 24), np.float32), []) == []
    assert merged(*catalogue([0])) == []


def test_pictures_that_are_all_the_same():
    vectors = np.tile(catalogue([0])[0][:1], (12, 1))
    assert merged(vectors, ["a"] * 6 + ["b"] * 6) == []  # of equals a picture's own SKU counts


def test_bad_input_is_refused():
    vectors, skus = catalogue([0, 1])
    with pytest.raises(ValueError, match="12, 11 and 12"):
        merge(vectors, skus, [str(i) for i in range(11)], RULE)
    with pytest.raises(ValueError, match="unique"):
        merge(vectors, skus, ["same"] * 12, RULE)
    for thresholds in ((), (0.2, 0.3), (1.5,), (0.3, 0.0)):
        with pytest.raises(ValidationError):
            MergeRule(thresholds=thresholds)

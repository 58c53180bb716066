"""Which SKUs a classifier takes for each other, judged by pictures that it was not trained on.

The classifier is a linear discriminant (Fisher, The Use of Multiple Measurements in Taxonomic Problems, 1936): a mean
for each class, each worth as much as it has pictures, and for all one covariance within classes, shrunk towards a
sphere. It is trained in closed form, so that equal input gives equal answers, and 70,000 classes are 70,000 means.
Pictures are compared with a shortlist of classes only; no classes x classes matrix is ever whole.

Cross-validation: the pictures of a class are dealt into folds in turn, and those of a fold are classified by what was
trained on the others. A class of one picture cannot be both trained and tested: its picture is always trained on, so
that others' pictures can be taken for it, and never tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""(n, dimension), unit length."""
Classes = NDArray[np.int64]
"""(n,), 0 to the number of classes - 1; each occurs."""
UNTESTED: Final = -1

_EQUAL: Final = 1e-3
"""Squared distances that differ in no more are equal: they are about as large as the dimension."""
_BLOCK: Final = 1024
"""Classes looked at in one go: with 70,000 classes a block of similarities is 290 MB."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """A sparse matrix p_ij = c_ij / n_i, its diagonal left out: sorted by i, then j."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    counts: NDArray[np.int64]
    """c_ij > 0: pictures of i that were taken for j."""
    tested: NDArray[np.int64]
    """n_i, (classes,): pictures of i that were classified; 0 for a class of one picture."""


def confusion(classes: Classes, predicted: Classes) -> Confusion:
    """Counts what `predict` told."""
    number = int(classes.max(initial=-1)) + 1
    tested = predicted != UNTESTED
    wrong = tested & (predicted != classes)
    pairs, counts = np.unique(classes[wrong] * number + predicted[wrong], return_counts=True)
    rows, columns = np.divmod(pairs, max(number, 1))
    return Confusion(rows, columns, counts.astype(np.int64), np.bincount(classes[tested], minlength=number))


def predict(vectors: Vectors, classes: Classes, shortlist: NDArray[np.int64], folds: int, shrinkage: float) -> Classes:
    """The class of each picture by a classifier that was not trained on it; UNTESTED for that of a class of one.

    shortlist: (n, k), classes that each picture may be taken for, beside its own.
    """
    fold = _dealt(classes, folds)
    predicted = np.full(len(classes), UNTESTED, np.int64)
    for each in range(folds):
        tested = np.flatnonzero(fold == each)
        if len(tested):
            # Every class is still there: one of several pictures is in several folds, one of one picture in none.
            trained = fold != each
            whiten = _whitening(vectors[trained], classes[trained], shrinkage)
            means, sizes = class_means(vectors[trained] @ whiten, classes[trained])
            predicted[tested] = _nearest(vectors[tested] @ whiten, classes[tested], shortlist[tested], means, sizes)
    return predicted


def class_means(vectors: Vectors, classes: Classes) -> tuple[Vectors, NDArray[np.int64]]:
    """Mean of each class, (classes, dimension), and its number of pictures."""
    order = np.argsort(classes, kind="stable")
    sizes = np.bincount(classes)
    if not len(sizes):
        return np.empty((0, vectors.shape[1]), np.float32), sizes
    means = np.add.reduceat(vectors[order], np.cumsum(sizes) - sizes, axis=0) / sizes[:, None]
    return means.astype(np.float32), sizes


def nearest_classes(means: Vectors, count: int) -> NDArray[np.int64]:
    """(classes, count): the classes whose means point most nearly the same way, the nearest first; of fewer ones all.

    Blocks of rows, so memory grows with classes x _BLOCK.
    """
    units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    count = min(count, len(means) - 1)
    nearest = np.zeros((len(means), max(count, 0)), np.int64)
    if count <= 0:
        return nearest
    for start in range(0, len(means), _BLOCK):
        similarities = units[start : start + _BLOCK] @ units.T
        rows = np.arange(len(similarities))
        similarities[rows, start + rows] = -np.inf
        found = np.argpartition(similarities, -count, axis=1)[:, -count:]
        order = np.lexsort((found, -np.take_along_axis(similarities, found, axis=1)), axis=1)
        nearest[start : start + _BLOCK] = np.take_along_axis(found, order, axis=1)
    return nearest


def _dealt(classes: Classes, folds: int) -> NDArray[np.int64]:
    """The fold of each picture, 0 to folds - 1: each class dealt from another fold on; UNTESTED in a class of one."""
    order = np.argsort(classes, kind="stable")
    sizes = np.bincount(classes)
    place = np.empty(len(classes), np.int64)
    place[order] = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.where(sizes[classes] > 1, (place + classes) % folds, UNTESTED)


def _whitening(vectors: Vectors, classes: Classes, shrinkage: float) -> NDArray[np.float32]:
    """(dimension, dimension): makes the covariance within classes a sphere."""
    means, sizes = class_means(vectors, classes)
    apart = vectors - means[classes]
    covariance = (apart.T @ apart).astype(np.float64) / max(len(vectors) - len(sizes), 1)
    dimension = len(covariance)
    spread = max(float(np.trace(covariance)) / dimension, 1e-9)
    values, axes = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * spread * np.eye(dimension))
    return np.asarray(axes / np.sqrt(np.maximum(values, 1e-12)), np.float32)


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _nearest(
    vectors: Vectors, own: Classes, shortlist: NDArray[np.int64], means: Vectors, sizes: NDArray[np.int64]
) -> Classes:
    """Of a picture's own class and its shortlist the one whose mean is nearest; of equals its own."""
    best = own.copy()
    for i in range(len(own)):
        least = _apart(vectors[i], means[own[i]]) / (1.0 + 1.0 / sizes[own[i]]) - _EQUAL
        for each in shortlist[i]:
            # A mean of few pictures is itself off by a part of their spread, and would lose to one of many.
            apart = _apart(vectors[i], means[each]) / (1.0 + 1.0 / sizes[each])
            if apart < least:
                best[i], least = each, apart
    return best


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> np.float32:
    """Squared distance."""
    total = np.float32(0)
    for i in range(len(one)):
        difference = one[i] - other[i]
        total += difference * difference
    return total

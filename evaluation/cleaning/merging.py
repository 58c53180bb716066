"""Merging on products that were split at random into several SKUs, beside naive peers; and its cost with many SKUs."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from evaluation.cleaning.products import Known
from offline.cleaning.confusion import Vectors, class_means, confusion, nearest_classes, predict
from offline.cleaning.merge import Group, MergeRule, merge

Labels = NDArray[np.int64]
"""(SKUs,): the group of each."""
OURS: Final = "shiwu"
_MOST: Final = 5
"""SKUs that a product is split into, at most."""
_SIMILARITIES: Final = (0.6, 0.7, 0.8)
_DISTANCES: Final = tuple(np.arange(0.02, 0.5, 0.01).round(2).tolist())
_DIMENSION: Final = 256


@dataclass(frozen=True)
class Split:
    """SKUs made of products. sku: of each picture; truth: the product of each SKU; source: of each SKU."""

    vectors: Vectors
    sku: Labels
    truth: Labels
    source: NDArray[np.str_]


@dataclass(frozen=True)
class Pairs:
    """Pairs of SKUs: found and right, found, and those that there are."""

    right: int
    found: int
    all: int

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.all if self.all else 1.0

    @property
    def f1(self) -> float:
        return 2 * self.right / max(self.found + self.all, 1)


@dataclass(frozen=True)
class Measured:
    """A method with what was chosen on the one half, on the other half."""

    chosen: str
    pairs: Pairs
    by_source: Mapping[str, Pairs]


def split(known: Known, seed: int) -> Split:
    """Every product as one to five SKUs, of one picture each at least and two on average at least."""
    random = np.random.default_rng(seed)
    rows: dict[tuple[str, str], list[int]] = {}
    for i, each in enumerate(known.pictures):
        rows.setdefault((each.source, each.product), []).append(i)
    sku, truth, source = np.empty(len(known.pictures), np.int64), list[int](), list[str]()
    for number, ((name, _), own) in enumerate(rows.items()):
        parts = max(1, min(int(random.integers(1, _MOST + 1)), len(own) // 2))
        dealt = np.concatenate([np.arange(parts), random.integers(0, parts, len(own) - parts)])
        sku[own] = len(truth) + random.permutation(dealt)
        truth += [number] * parts
        source += [name] * parts
    return Split(known.whole, sku, np.array(truth), np.array(source))


def pairs(groups: Labels, truth: Labels) -> Pairs:
    """How many pairs of SKUs are in one group, of one product, and both."""
    both = _within(zip(groups.tolist(), truth.tolist(), strict=True))
    return Pairs(both, _within(groups.tolist()), _within(truth.tolist()))


def _within(labels: Iterable[Hashable]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(labels).values())


def measure(choosing: Known, measuring: Known, seeds: Sequence[int]) -> dict[str, Measured]:
    """By method. seeds: a random split each."""
    tuning, test = ([split(half, seed) for seed in seeds] for half in (choosing, measuring))
    found = {}
    for name, method in METHODS.items():
        outcomes = [method(each) for each in tuning]
        # A run tells of all its options at once; the best is the one with the best F1 over all splits.
        chosen = max(
            outcomes[0],
            key=lambda option: _sum(pairs(o[option], s.truth) for o, s in zip(outcomes, tuning, strict=True)).f1,
        )
        results = [(method(each)[chosen], each) for each in test]
        by_source = {
            source: _sum(pairs(g[s.source == source], s.truth[s.source == source]) for g, s in results)
            for source in sorted(set(test[0].source.tolist()))
        }
        found[name] = Measured(chosen, _sum(pairs(g, s.truth) for g, s in results), by_source)
    return found


def _sum(each: Iterable[Pairs]) -> Pairs:
    counts = np.array([(pair.right, pair.found, pair.all) for pair in each]).sum(axis=0).tolist()
    return Pairs(*counts)


def _ours(given: Split) -> dict[str, Labels]:
    return {key: labels for similarity in _SIMILARITIES for key, labels in _iterated(given, similarity).items()}


def _unguarded(given: Split) -> dict[str, Labels]:
    return _iterated(given, -1.0)


def _iterated(given: Split, min_similarity: float) -> dict[str, Labels]:
    """The groups as they are at each threshold on the way down."""
    rule = MergeRule(min_similarity=min_similarity)
    groups = run(given, rule)
    return {
        f"p >= {threshold:g}, similarity >= {min_similarity:g}": labelled(groups, len(given.truth), threshold)
        for threshold in rule.thresholds
    }


def run(given: Split, rule: MergeRule) -> list[Group]:
    """The groups; SKUs are named by their numbers."""
    pictures = [f"{i:07d}" for i in range(len(given.sku))]
    return merge(given.vectors, [f"{each:06d}" for each in given.sku.tolist()], pictures, rule)


def labelled(groups: Sequence[Group], skus: int, threshold: float = 0.0) -> Labels:
    """With the merges of rounds down to this threshold."""
    labels = np.arange(skus)
    for group in groups:
        for step in group.steps:
            if step.threshold >= threshold:
                labels[[int(sku) for sku in (*step.first, *step.second)]] = int(min(*step.first, *step.second))
    return labels


def _confused_once(given: Split) -> dict[str, Labels]:
    """Connected components of the pairs that one classifier confuses."""
    rule = MergeRule()
    means, _ = class_means(given.vectors, given.sku)
    near = nearest_classes(means, rule.candidates)
    predicted = predict(given.vectors, given.sku, near[given.sku], rule.folds, rule.shrinkage)
    found = confusion(given.sku, predicted)
    shares: Counter[tuple[int, int]] = Counter()
    each_way = (found.counts / found.tested[found.rows]).tolist()
    for i, j, share in zip(found.rows.tolist(), found.columns.tolist(), each_way, strict=True):
        shares[min(i, j), max(i, j)] += share / 2
    return {
        f"p >= {threshold:g}": _components(
            [pair for pair, share in shares.items() if share >= threshold], len(given.truth)
        )
        for threshold in rule.thresholds
    }


def _components(linked: Sequence[tuple[int, int]], count: int) -> Labels:
    parent = list(range(count))

    def root(each: int) -> int:
        while parent[each] != each:
            each = parent[each]
        return each

    for one, other in linked:
        parent[root(one)] = root(other)
    return np.array([root(each) for each in range(count)])


def _centroids(how: str) -> Callable[[Split], dict[str, Labels]]:
    def method(given: Split) -> dict[str, Labels]:
        means, _ = class_means(given.vectors, given.sku)
        tree = linkage(means, how, metric="cosine")
        return {f"distance <= {each:g}": fcluster(tree, each, "distance").astype(np.int64) for each in _DISTANCES}

    return method


METHODS: Final[Mapping[str, Callable[[Split], dict[str, Labels]]]] = {
    OURS: _ours,
    "shiwu without the guard": _unguarded,
    "confused pairs of one round, connected components": _confused_once,
    "centroids, connected components": _centroids("single"),
    "centroids, average linkage": _centroids("average"),
    "centroids, complete linkage": _centroids("complete"),
}


@dataclass(frozen=True)
class Scale:
    """Of a run on synthetic SKUs. gigabytes: peak of the process beyond the pictures' vectors and what Python needs."""

    skus: int
    pictures: int
    rounds: int
    seconds: float
    cpu_seconds: float
    gigabytes: float
    pairs: Pairs


def scale(skus: int, pictures: int) -> Scale:
    """pictures: of each SKU. Of five products' SKUs seven are made; in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_scale, (skus, pictures))


def _scale(skus: int, pictures: int) -> Scale:
    random = np.random.default_rng(0)
    products = skus * 5 // 7
    truth = np.concatenate([np.arange(products), random.integers(0, products, skus - products)])
    sku = np.repeat(np.arange(skus), pictures)
    vectors = random.standard_normal((products, _DIMENSION), np.float32)[truth[sku]]
    vectors += random.standard_normal(vectors.shape, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names, ids = [f"{each:06d}" for each in sku.tolist()], [f"{i:07d}" for i in range(len(sku))]
    rounds: list[tuple[float, int]] = []
    before, start, cpu = _peak(), time.perf_counter(), time.process_time()
    groups = merge(vectors, names, ids, MergeRule(), lambda *told: rounds.append(told))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    found = pairs(labelled(groups, skus), truth)
    return Scale(skus, len(sku), len(rounds), seconds, cpu, _peak() - before, found)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes

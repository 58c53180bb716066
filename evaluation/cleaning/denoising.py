"""Denoising on SKUs with injected noise, beside peers whose thresholds are chosen on the same half; and its speed.

A SKU has pictures of one product, and among them noise of three kinds, as many of each: pictures of other products of
the same source (half of them in pairs of one product, which hang together), details of its own pictures, and crops of
boxes that missed the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN, HDBSCAN

from evaluation.cleaning.products import Known
from evaluation.cleaning.timing import interleaved
from offline.cleaning.denoise import DenoiseRule, Vectors, dbscan, denoise

KINDS: Final = ("clean", "wrong product", "detail", "bad box")
Kept = NDArray[np.bool_]
"""(n,): which pictures of a SKU a method keeps."""
Method = Callable[..., Kept]
OURS: Final = "shiwu: two steps"
_SEED: Final = 5
_DRAWS: Final = 2
"""SKUs made of each product."""
_DIMENSION: Final = 256


@dataclass(frozen=True)
class Sku:
    """Pictures of one product with noise among them. kinds: what each is; origins: rows of the pictures' set."""

    source: str
    product: str
    vectors: Vectors
    kinds: Sequence[str]
    origins: Sequence[int]

    @property
    def clean(self) -> Kept:
        return np.array([kind == "clean" for kind in self.kinds])


@dataclass(frozen=True)
class Score:
    """Of the pictures that a method keeps. left: by kind of noise the share that it keeps, too."""

    precision: float
    recall: float
    left: Mapping[str, float]

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True)
class Measured:
    """A method with the options that had the best F1, mean of the sources, on the one half, on the other half."""

    options: Mapping[str, Any]
    score: Score
    by_source: Mapping[str, Score]

    @property
    def f1(self) -> float:
        """Mean of the sources: real ones are few pictures, simulated ones many."""
        return _mean_f1(self.by_source)


def noisy_skus(known: Known) -> list[Sku]:
    """SKUs of 5 to 46 pictures, an eighth to a third of them noise."""
    random = np.random.default_rng(_SEED)
    rows: dict[tuple[str, str], list[int]] = {}
    for i, each in enumerate(known.pictures):
        rows.setdefault((each.source, each.product), []).append(i)
    made = []
    for (source, name), own in rows.items():
        others = [i for (place, other), them in rows.items() if place == source and other != name for i in them]
        if len(own) >= 4 and others:
            made += [_sku(known, source, name, own, others, random) for _ in range(_DRAWS)]
    return made


def _sku(
    known: Known, source: str, name: str, own: Sequence[int], others: Sequence[int], random: np.random.Generator
) -> Sku:
    clean = random.permutation(own)[: int(random.integers(4, min(len(own), 30) + 1))].tolist()
    noise = max(1, round(len(clean) * random.uniform(0.1, 0.4) / 0.75))
    wrong, detail, misplaced = np.bincount((np.arange(noise) + random.integers(3)) % 3, minlength=3).tolist()
    strangers = _strangers(known, others, wrong, random)
    parts = random.choice(own, detail + misplaced).tolist()
    origins = [*clean, *strangers, *parts]
    vectors = np.concatenate(
        [known.whole[[*clean, *strangers]], known.detail[parts[:detail]], known.misplaced[parts[detail:]]]
    )
    kinds = np.repeat(KINDS, [len(clean), wrong, detail, misplaced]).tolist()
    return Sku(source, name, vectors, kinds, origins)


def _strangers(known: Known, others: Sequence[int], count: int, random: np.random.Generator) -> list[int]:
    """Half of the time two of one product."""
    found: list[int] = []
    while len(found) < count:
        first = int(random.choice(others))
        found.append(first)
        alike = [i for i in others if known.pictures[i].product == known.pictures[first].product and i != first]
        if alike and random.random() < 0.5:
            found.append(int(random.choice(alike)))
    return found[:count]


def _two_steps(vectors: Vectors, **options: float) -> Kept:
    verdicts = denoise(vectors, DenoiseRule.model_validate(options))
    return np.array([verdict != "noise" for verdict in verdicts])


def _dbscan(vectors: Vectors, eps: float, min_samples: int) -> Kept:
    return _or_all(dbscan(vectors, eps, min_samples) >= 0)  # the labels are scikit-learn's, which `speed` checks


def _hdbscan(vectors: Vectors, min_cluster_size: int, min_samples: int, *, largest: bool) -> Kept:
    peer = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples, allow_single_cluster=True, copy=True)
    labels = peer.fit(vectors).labels_  # unit vectors: Euclidean distances are in the order of cosine ones
    return _or_all(
        labels == np.bincount(labels[labels >= 0]).argmax() if largest and labels.max() >= 0 else labels >= 0
    )


def _largest_component(vectors: Vectors, eps: float) -> Kept:
    labels = dbscan(vectors, eps, 1)
    return np.asarray(labels == np.bincount(labels).argmax())


def _centroid(vectors: Vectors, distance: float) -> Kept:
    mean = vectors.mean(axis=0)
    return _or_all(1.0 - vectors @ mean / max(float(np.linalg.norm(mean)), 1e-12) <= distance)


def _all(vectors: Vectors) -> Kept:
    return np.ones(len(vectors), np.bool_)


def _or_all(kept: Kept) -> Kept:
    """All where a method keeps none: no product is left without pictures."""
    return kept if kept.any() else np.ones(len(kept), np.bool_)


_EPS: Final = tuple(round(each, 3) for each in np.arange(0.08, 0.6, 0.04).tolist())
METHODS: Final[Mapping[str, tuple[Method, Mapping[str, Sequence[Any]]]]] = {
    OURS: (_two_steps, {"eps": _EPS, "win_back": _EPS, "look_share": (0.25, 0.5, 1.0)}),
    "plain DBSCAN": (_dbscan, {"eps": _EPS, "min_samples": (2, 3, 4)}),
    "HDBSCAN": (
        _hdbscan,
        {"min_cluster_size": (2, 3, 4, 5), "min_samples": (1, 2, 3, 4), "largest": (False, True)},
    ),
    "largest connected component": (_largest_component, {"eps": _EPS}),
    "distance to the centroid": (_centroid, {"distance": _EPS}),
    "keep all": (_all, {}),
}


def measure(choosing: Known, measuring: Known) -> dict[str, Measured]:
    """By method."""
    tuning, test = noisy_skus(choosing), noisy_skus(measuring)
    found = {}
    for name, (method, grid) in METHODS.items():
        options = max(_combinations(grid), key=lambda each: _mean_f1(_by_source(tuning, method, each)))
        found[name] = Measured(options, score(test, method, options), _by_source(test, method, options))
    return found


def _by_source(skus: Sequence[Sku], method: Method, options: Mapping[str, Any]) -> dict[str, Score]:
    return {
        source: score([sku for sku in skus if sku.source == source], method, options)
        for source in sorted({sku.source for sku in skus})
    }


def _mean_f1(scores: Mapping[str, Score]) -> float:
    return float(np.mean([each.f1 for each in scores.values()]))


def _combinations(grid: Mapping[str, Sequence[Any]]) -> Iterable[dict[str, Any]]:
    """A win-back below eps would win nothing back."""
    for values in product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        if options.get("win_back", 2.0) >= options.get("eps", 0.0):
            yield options


def score(skus: Sequence[Sku], method: Method, options: Mapping[str, Any]) -> Score:
    """Of all SKUs' pictures together."""
    kept = np.concatenate([method(sku.vectors, **options) for sku in skus])
    kinds = np.array([kind for sku in skus for kind in sku.kinds])
    clean = kinds == "clean"
    right = float((kept & clean).sum())
    left = {kind: float(kept[kinds == kind].mean()) for kind in KINDS[1:] if (kinds == kind).any()}
    return Score(right / max(float(kept.sum()), 1.0), right / float(clean.sum()), left)


@dataclass(frozen=True)
class Speed:
    """SKUs a second, and how many of them have equal labels."""

    ours: float
    sklearn: float
    equal: int
    skus: int


def speed(count: int, rounds: int, eps: float) -> Speed:
    """On synthetic SKUs of 5 to 500 pictures: one to three bunches, some pictures astray."""
    random = np.random.default_rng(_SEED)
    skus = [_synthetic(int(random.integers(5, 501)), random) for _ in range(count)]
    peer = DBSCAN(eps=eps, min_samples=2, metric="cosine")
    seconds = interleaved(
        {
            "ours": lambda: [dbscan(each, eps, 2) for each in skus],
            "sklearn": lambda: [peer.fit(each) for each in skus],
        },
        rounds,
    )
    equal = sum(bool(np.array_equal(dbscan(each, eps, 2), peer.fit(each).labels_)) for each in skus)
    return Speed(count / seconds["ours"], count / seconds["sklearn"], equal, count)


def _synthetic(pictures: int, random: np.random.Generator) -> Vectors:
    centres = random.standard_normal((int(random.integers(1, 4)), _DIMENSION))
    spread = random.choice([0.3, 0.6, 2.0], (pictures, 1), p=[0.6, 0.3, 0.1])
    vectors = centres[random.integers(len(centres), size=pictures)]
    vectors = vectors + spread * random.standard_normal(vectors.shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

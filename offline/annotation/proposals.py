"""Questions to people about boxes, the one whose answer is worth most first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

KIND: Final = "box"

Order = Literal["worth", "random", "sure"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Is this a right box?"""

    subject: Mapping[str, Any]
    """image_id, category (its name) and box (x_min, y_min, x_max, y_max, whole pixels)."""
    score: float
    """What an answer is worth, 0 to 1."""
    evidence: Mapping[str, Any] = field(hash=False)
    """score of the detector, probability that the box is right, round in which it was found."""
    kind: str = KIND


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Predicted boxes that are neither believed nor background; all arrays are of length n."""

    pictures: Sequence[str]
    boxes: NDArray[np.float32]
    categories: NDArray[np.int64]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.pictures)


def rank(doubtful: Doubtful, known: Sequence[int], order: Order, seed: int) -> list[tuple[int, float]]:
    """Indices of the boxes in the order in which to ask, with what each is worth.

    known: boxes of each category that people have drawn or confirmed. order: see config.Acceptance; the worth of a
    question does not depend on it.
    """
    values = worth(doubtful.pictures, doubtful.probabilities, doubtful.categories, known)
    if order == "random":
        ranked = np.random.default_rng(seed).permutation(len(doubtful))
    else:
        by = values if order == "worth" else doubtful.probabilities
        ranked = np.argsort(-by, kind="stable")
    return [(int(i), float(values[i])) for i in ranked]


def worth(
    pictures: Sequence[str], probabilities: NDArray[np.float64], categories: NDArray[np.int64], known: Sequence[int]
) -> NDArray[np.float64]:
    """What the answers are worth, (n,), each 0 to 1, as every answer takes as long as another.

    Only a yes gives a box to learn from, so it counts how likely a yes is times how much it would surprise, -p log p
    as a share of its maximum (p = 0.37), which is uncertainty sampling (Lewis & Gale, SIGIR 1994) without the part of
    the no. It is less for categories that people have boxed often (by the root of their number against the rarest),
    and half for the second question about a picture, a third for the third: the boxes of one picture tell much the
    same.
    """
    p = np.clip(probabilities, 1e-9, 1.0)
    surprise = -p * np.log(p) * np.e
    counts = np.asarray(known, np.float64) + 1
    values = surprise * np.sqrt(counts.min() / counts)[categories]
    asked: dict[str, int] = {}
    for i in np.argsort(-values, kind="stable"):
        asked[pictures[i]] = asked.get(pictures[i], 0) + 1
        values[i] /= asked[pictures[i]]
    return np.asarray(values, np.float64)

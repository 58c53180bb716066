"""Which gaps ask for the same thing: leader clustering (Hartigan, Clustering Algorithms, 1975, chapter 3) of vectors.

Gaps are taken in the order of their scans. Each joins the nearest leader within `eps`, the earliest of equally near
ones; where there is none, it becomes a leader itself. So no two of a cluster are further apart than twice the angle of
`eps`, however many there are (DBSCAN would chain them), and a cluster keeps its leader, and with it its name, while
scans go on coming. Vectors of different models cannot be compared: each model's gaps are clustered for themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""(n, dimension), unit length."""

EPS: Final = 0.35
"""Cosine distance; fitted by evaluation.demand."""
_BLOCK: Final = 1024


@dataclass(frozen=True, slots=True)
class GapVector:
    """What of a gap is clustered."""

    scan_id: str
    scan_time: datetime
    model: str
    """name@version; empty if there is no vector."""
    vector: NDArray[np.float32] = field(repr=False)
    """Unit length, (dimension,)."""


def demand_clusters(gaps: Iterable[GapVector], eps: float = EPS) -> dict[str, str]:
    """The cluster of each gap, named by the leader's scan; "" for a gap without a vector. The same in any order."""
    clusters: dict[str, str] = {}
    ordered = sorted(gaps, key=lambda gap: (gap.model, len(gap.vector), gap.scan_time, gap.scan_id))
    for (model, _), group in groupby(ordered, key=lambda gap: (gap.model, len(gap.vector))):
        of_model = list(group)
        if not model:
            clusters |= dict.fromkeys((gap.scan_id for gap in of_model), "")
            continue
        led_by = leaders(np.stack([gap.vector for gap in of_model]), eps).tolist()
        clusters |= {gap.scan_id: of_model[leader].scan_id for gap, leader in zip(of_model, led_by, strict=True)}
    return clusters


def leaders(vectors: Vectors, eps: float) -> NDArray[np.int64]:
    """The index of each vector's leader, in the order of the rows.

    Takes n times the number of leaders; a block of rows is compared with the leaders before it in one product.
    """
    led_by = np.empty(len(vectors), np.int64)
    known: list[int] = []
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        before = block @ vectors[known].T
        within = block @ block.T
        new: list[int] = []
        for i in range(len(block)):
            near = np.concatenate([before[i], within[i, new]])
            best = int(near.argmax()) if len(near) else -1
            if best >= 0 and near[best] >= 1.0 - eps:
                led_by[start + i] = known[best] if best < len(known) else start + new[best - len(known)]
            else:
                led_by[start + i] = start + i
                new.append(i)
        known += [start + i for i in new]
    return led_by

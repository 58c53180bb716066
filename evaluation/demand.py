"""How well clusters of scans are products: the threshold is fitted on some photo sets, and measured on others.

python -m evaluation.demand --data DIR [--models DIR] [--limit N] [--json]

Photos are seen as a scan sees them, and clustered (offline.indexing.demand) as if no catalogue had their products.
Pairs: of two photos in one cluster, are they of one product (precision), and of two of one product, are they in one
cluster (recall). F0.5 weighs precision twice as much as recall, since a thing that nobody asked for so often misleads,
and one in two clusters still shows; the highest mean over the sets that it is fitted on decides. The largest: of the
five largest clusters, the share of photos that are of their cluster's most frequent product.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from evaluation import photo_sets
from evaluation.photo_sets import PhotoSet
from evaluation.stages import Stages
from offline.indexing.demand import EPS, Vectors, leaders
from shiwu.inference.released import DETECTOR, EMBEDDER

_GRID: Final = tuple(round(0.1 + 0.05 * i, 2) for i in range(11))
_CACHE: Final = Path(".cache/demo")
_SETS: Final = ("grocery, held-out classes", "YCB", "Luma, phone shots", "demo")
"""Sets with several photos of a product; by how their names begin."""
_LARGEST: Final = 5


def main() -> None:
    """Prints two tables, or a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--limit", type=int, help="at most so many photos of a set")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    stages = Stages(options.models / DETECTOR, options.models / EMBEDDER)
    sides = {
        "fitted on": photo_sets.tuning_sets(options.data),
        "measured on": photo_sets.measuring_sets(options.data, _CACHE, 1, 1),
    }
    with threadpool_limits(limits=1, user_api="blas"):
        seen = {side: asyncio.run(_seen(sets, stages, options.limit)) for side, sets in sides.items()}
    figures = {
        side: {name: {str(eps): measured(vectors, products, eps) for eps in _GRID} for name, vectors, products in sets}
        for side, sets in seen.items()
    }
    if options.json:
        print(json.dumps(figures))
        return
    for side, sets in figures.items():
        _print(side, sets)


def measured(vectors: Vectors, products: NDArray[np.str_], eps: float) -> dict[str, float]:
    """Precision, recall and F0.5 of pairs, purity of the largest clusters, and how many clusters there are."""
    led_by = leaders(vectors, eps)
    together = led_by[:, None] == led_by[None, :]
    same = products[:, None] == products[None, :]
    pairs = np.triu(np.ones_like(same), 1).astype(bool)
    both = float((together & same & pairs).sum())
    precision = both / max(1.0, float((together & pairs).sum()))
    recall = both / max(1.0, float((same & pairs).sum()))
    largest = [products[led_by == leader] for leader, _ in Counter(led_by.tolist()).most_common(_LARGEST)]
    pure = sum(Counter(each.tolist()).most_common(1)[0][1] for each in largest) / sum(map(len, largest))
    f05 = 1.25 * precision * recall / max(1e-9, 0.25 * precision + recall)
    clusters = float(len(set(led_by.tolist())))
    return {"precision": precision, "recall": recall, "f0.5": f05, "largest": pure, "clusters": clusters}


async def _seen(
    sets: Sequence[PhotoSet], stages: Stages, limit: int | None
) -> list[tuple[str, Vectors, NDArray[np.str_]]]:
    """Vectors and products of each set's photos, in an order that is drawn."""
    found = []
    for photos in sets:
        if not photos.name.startswith(_SETS) or "among all" in photos.name:
            continue
        queries = photos.limited(limit).queries
        shuffled = [queries[i] for i in np.random.default_rng(7).permutation(len(queries))]
        vectors = np.stack([(await stages.see(each.read())).vector for each in shuffled])
        found.append((f"{photos.name} ({len(queries)} photos)", vectors, np.array([each.product for each in shuffled])))
    return found


def _print(side: str, sets: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    for name, by_eps in sets.items():
        table = Table("eps", "precision", "recall", "F0.5", "largest", "clusters", title=f"{side}: {name}")
        for eps, row in by_eps.items():
            cells = [f"{row[key]:.3f}" for key in ("precision", "recall", "f0.5", "largest")]
            table.add_row(eps, *cells, f"{row['clusters']:.0f}", style="bold" if float(eps) == EPS else "")
        Console().print(table)
    means = {eps: sum(by_eps[str(eps)]["f0.5"] for by_eps in sets.values()) / len(sets) for eps in _GRID}
    Console().print(f"{side}: mean F0.5", "  ".join(f"{eps:g}: {mean:.3f}" for eps, mean in means.items()))


if __name__ == "__main__":
    main()

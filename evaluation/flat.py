"""How well flat products (covers, cartons, labels) are found from a photo, by the region that is searched for.

python -m evaluation.flat [--count N] [--seed S] [--data DIR] [--models DIR] [--json]

The products are drawn (evaluation.flat_covers) and the photos are simulated phone shots of them, each cover's one shot
against all covers. Crops and vectors are made by the services' own code, merchants' pictures as the catalogue takes
them in. Rows: the cover's true box, the region that a scan looks at first, the one that it chooses in the end, the
centre, the whole photo; and the first three after a quarter turn of the photo.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from evaluation.flat_covers import Cover, covers
from evaluation.flat_shots import flat_shots, read_backgrounds
from evaluation.looking import compared
from evaluation.metrics import Retrieval, interval, rank_of, retrieval
from evaluation.photo_sets import Entry
from evaluation.region_fitting import pick
from evaluation.stages import Stages, read, turned
from services.gateway.pictures import Picture
from services.gateway.ports import Box, Vector
from shiwu.inference.manifest import RegionRule

Vectors = NDArray[np.float32]

_TURNED = ("exact box", "first region", "chosen region")


def main() -> None:
    """Prints a table, or a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="products, each with one picture and one photo")
    parser.add_argument("--seed", type=int, default=1, help="other seeds are other products and other photos")
    parser.add_argument("--data", type=Path, help="folder with a set of backgrounds; else they are generated")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with threadpool_limits(limits=1, user_api="blas"):
        figures = asyncio.run(_measured(options))
    if options.json:
        print(json.dumps(figures))
    else:
        _print(figures)


async def _measured(options: argparse.Namespace) -> dict[str, Any]:
    stages = Stages(options.models / "detector-lite0", options.models / "embedder-lite0")
    tuning = stages.embedder.manifest.tuning
    products = covers(options.count, options.seed)
    gallery = np.stack([await stages.stock(_png(each), each.category) for each in tqdm(products, "pictures")])
    looks = _Looks(stages, [_entry(each) for each in products], gallery, tuning.regions if tuning else None)
    queries: dict[str, list[Any]] = {}
    shots = flat_shots(products, options.seed, read_backgrounds(options.data))
    for shot in tqdm(shots, "photos", total=len(products)):
        picture = read(shot.photo)
        vectors = await looks.vectors(shot.cover, picture, shot.box)
        across = await looks.vectors(shot.cover, turned(picture), _turned_box(shot.box))
        vectors |= {f"{region}, turned": across[region] for region in _TURNED}
        for region, vector in vectors.items():
            queries.setdefault(region, []).append(vector)
    rows = {region: _row(np.stack(vectors), gallery, products) for region, vectors in queries.items()}
    return {"model": stages.embedder.model.id, "count": len(products), "seed": options.seed, "rows": rows}


@dataclass(frozen=True)
class _Looks:
    """Looks at shots. gallery: the entries' vectors, (n, dimension)."""

    stages: Stages
    entries: Sequence[Entry]
    gallery: Vectors
    rule: RegionRule | None

    async def vectors(self, cover: Cover, picture: Picture, exact: Box) -> dict[str, Vector]:
        """Of every region that is compared. exact: where the cover is."""
        look = await self.stages.look(picture)
        looked = compared("flat", _entry(cover), look, self.entries, self.gallery)
        taken = (pick(looked, self.rule) or 0) if self.rule else 0
        [own] = await self.stages.embed(picture, [exact])
        by_kind = {region.kind: vector for region, vector in zip(look.regions, look.vectors, strict=True)}
        chosen = {"first region": look.vectors[0], "chosen region": look.vectors[taken]}
        return {"exact box": own, **chosen, "centre": by_kind["centre"], "whole": by_kind["whole"]}


def _entry(cover: Cover) -> Entry:
    return Entry(cover.product_id, cover.product_id, cover.family, cover.category, lambda: _png(cover))


def _row(queries: Vectors, gallery: Vectors, products: Sequence[Cover]) -> dict[str, Any]:
    names = np.array([each.product_id for each in products])
    order = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    ranks = [rank_of(product, names[row].tolist()) for product, row in zip(names, order, strict=True)]
    by_family = {
        varies: round(float(np.mean([rank == 1 for rank, each in _pairs(ranks, products) if each.varies == varies])), 4)
        for varies in sorted({each.varies for each in products})
    }
    quality: Retrieval = retrieval(ranks)
    ends = interval([rank == 1 for rank in ranks])
    return quality.as_json() | {"recall@1_interval": [round(end, 4) for end in ends], "recall@1_by_family": by_family}


def _pairs(ranks: Sequence[int | None], products: Sequence[Cover]) -> list[tuple[int | None, Cover]]:
    return list(zip(ranks, products, strict=True))


def _png(cover: Cover) -> bytes:
    _, data = cv2.imencode(".png", cover.picture()[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(data)


def _turned_box(box: Box) -> Box:
    return Box(box.y_min, 1 - box.x_max, box.y_max, 1 - box.x_min)


def _print(figures: dict[str, Any]) -> None:
    title = f"{figures['count']} flat products, seed {figures['seed']}, {figures['model']}"
    families = list(next(iter(figures["rows"].values()))["recall@1_by_family"])
    table = Table("searched for", "R@1", "95 %", "R@5", "mAP", *families, title=title, title_justify="left")
    for name, row in figures["rows"].items():
        low, high = row["recall@1_interval"]
        shares = [f"{row[key]:.3f}" for key in ("recall@5", "map")]
        by_family = [f"{value:.3f}" for value in row["recall@1_by_family"].values()]
        table.add_row(name, f"{row['recall@1']:.3f}", f"{low:.3f}-{high:.3f}", *shares, *by_family)
    Console().print(table)
    print("right of the mAP: R@1 by what the members of a family differ in; alone: no family")


if __name__ == "__main__":
    main()

"""How well flat products (covers, cartons, labels) are found from a photo, by the region that is searched for.

python -m evaluation.flat [--count N] [--seed S] [--data DIR] [--models DIR] [--json]

The products are drawn (evaluation.flat_covers) and the photos are simulated phone shots of them, each cover's one shot
against all covers. Crops and vectors are made by the services' own code, merchants' pictures as the catalogue takes
them in. Rows: the cover's true box, the region that a scan looks at first, the one that it chooses in the end, the
centre, the whole photo; and the first three after a quarter turn of the photo. "+ prints": the same, ranked as scans
rank by the embedder's tuning, where that compares prints. A second table: of the same photos, of them when their cover
is in the catalogue once more as another product, and when it is taken out, how many are answered with a product.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

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
from evaluation.stages import Stages, Stocked, read, turned
from services.gateway.acceptance import probability, signs_of, threshold
from services.gateway.pictures import Picture
from services.gateway.ports import Box
from services.gateway.ranking import Ranking, by_similarity
from services.gateway.verification import Compared, Rules, comparable, judged, verified
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.inference.tuning import RegionRule, Tuning
from shiwu.vision.agreement import compare_all
from shiwu.vision.local_features import LocalFeatures

Vectors = NDArray[np.float32]

_TURNED = ("exact box", "first region", "chosen region")
_AGAIN = ", again"


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
    stages = Stages(options.models / DETECTOR, options.models / EMBEDDER)
    tuning = stages.embedder.manifest.tuning
    products = covers(options.count, options.seed)
    stocked = [await stages.stock(_png(each), each.category) for each in tqdm(products, "pictures")]
    gallery = np.stack([each.vector for each in stocked])
    looks = _Looks(stages, [_entry(each) for each in products], gallery, tuning.regions if tuning else None)
    queries: dict[str, list[_Query]] = {}
    shots = flat_shots(products, options.seed, read_backgrounds(options.data))
    for shot in tqdm(shots, "photos", total=len(products)):
        picture = read(shot.photo)
        seen = await looks.seen(shot.cover, picture, shot.box)
        across = await looks.seen(shot.cover, turned(picture), _turned_box(shot.box))
        seen |= {f"{region}, turned": across[region] for region in _TURNED}
        for region, query in seen.items():
            queries.setdefault(region, []).append(query)
    rules = tuning.verification if tuning else ()
    catalogue = _Catalogue(products, stocked, gallery)
    rows, accepted = {}, {}
    for region, own in tqdm(queries.items(), "rows"):
        rows[region] = _row([catalogue.ranked(each, ()) for each in own], products)
        if rules:
            rows[f"{region} + prints"] = _row([catalogue.ranked(each, rules) for each in own], products)
        if tuning:
            accepted[region] = _accepted(catalogue, own, tuning)
    facts = {"model": stages.embedder.model.id, "count": len(products), "seed": options.seed}
    return facts | {"rows": rows, "accepted": accepted}


class _Query(NamedTuple):
    """What is searched for. vectors: (n, dimension), of which the nearer one counts."""

    vectors: Vectors
    local_features: LocalFeatures


@dataclass(frozen=True)
class _Looks:
    """Looks at shots. gallery: the entries' vectors, (n, dimension)."""

    stages: Stages
    entries: Sequence[Entry]
    gallery: Vectors
    rule: RegionRule | None

    async def seen(self, cover: Cover, picture: Picture, exact: Box) -> dict[str, _Query]:
        """Every region that is compared. exact: where the cover is."""
        look = await self.stages.look(picture)
        looked = compared("flat", _entry(cover), look, self.entries, self.gallery)
        taken = (pick(looked, self.rule) or 0) if self.rule else 0
        [own] = await self.stages.embed(picture, [exact])
        parts = [
            _Query(look.vectors[(seen := look.compared(i))], self.stages.describe(picture, look.regions[seen[0]].box))
            for i in range(len(look.regions))
        ]
        by_kind = {region.kind: part for region, part in zip(look.regions, parts, strict=True)}
        chosen = {"first region": parts[0], "chosen region": parts[taken]}
        exactly = _Query(own[None], self.stages.describe(picture, exact))
        return {"exact box": exactly, **chosen, "centre": by_kind["centre"], "whole": by_kind["whole"]}


def _entry(cover: Cover) -> Entry:
    return Entry(cover.product_id, cover.product_id, cover.family, cover.category, lambda: _png(cover))


class _Ranked(NamedTuple):
    """A catalogue's covers for one photo."""

    covers: Sequence[Cover]
    """The most similar first."""
    similarities: NDArray[np.float32]
    ranking: Ranking

    def names(self) -> list[str]:
        """As ranked."""
        return [self.covers[i].product_id for i in self.ranking.order.tolist()]

    def answer(self, tuning: Tuning) -> str | None:
        """The best cover, where a scan would say so. Every cover has one picture."""
        best = int(self.ranking.order[0])
        others = np.delete(self.similarities, best)
        similarity = float(self.similarities[best])
        products = [each.product_id for each in self.covers]
        signs = signs_of(self.ranking, products, similarity=similarity, margin=similarity - float(others[0]))
        rule = tuning.acceptance
        sure = probability(signs, rule) >= threshold(self.covers[best].category, rule)
        return products[best] if sure else None


@dataclass(frozen=True)
class _Catalogue:
    """Covers, each with a picture. gallery: the pictures' vectors, (n, dimension)."""

    products: Sequence[Cover]
    stocked: Sequence[Stocked]
    gallery: Vectors

    def ranked(self, query: _Query, rules: Rules, *, without: int | None = None, twice: int | None = None) -> _Ranked:
        """As a scan ranks them; without one of them, or with one that is listed once more."""
        similarities = (self.gallery @ query.vectors.T).max(axis=1)
        nearest, covers = [], []
        for i in np.argsort(-similarities, kind="stable").tolist():
            if i != without:
                nearest.append(i)
                covers.append(self.products[i])
            if i == twice:
                nearest.append(i)
                covers.append(replace(self.products[i], product_id=f"{self.products[i].product_id}{_AGAIN}"))
        own = similarities[nearest]
        ranking = by_similarity(own.tolist())
        if rules:
            places = comparable([each.category for each in covers], rules)
            pictures = [self.stocked[nearest[place]].local_features for place in places]
            agreements = dict(zip(places, compare_all(query.local_features, pictures), strict=True))
            seen = [
                Compared(cover.category, cover.product_id, similarity, agreements.get(place))
                for place, (cover, similarity) in enumerate(zip(covers, own.tolist(), strict=True))
            ]
            ranking = verified(ranking, judged(seen, rules))
        return _Ranked(covers, own, ranking)


def _accepted(catalogue: _Catalogue, queries: Sequence[_Query], tuning: Tuning) -> dict[str, float]:
    """Shares of photos that are answered with a product, where theirs is in the catalogue, and where it is not."""
    shares: dict[str, list[bool]] = {}
    for i, query in enumerate(queries):
        name = catalogue.products[i].product_id
        present = catalogue.ranked(query, tuning.verification).answer(tuning)
        twice = catalogue.ranked(query, tuning.verification, twice=i).answer(tuning)
        absent = catalogue.ranked(query, tuning.verification, without=i).answer(tuning)
        shares.setdefault("present, rightly", []).append(present == name)
        shares.setdefault("present, wrongly", []).append(present not in (None, name))
        shares.setdefault("present twice, rightly", []).append(twice in (name, name + _AGAIN))
        shares.setdefault(f"absent, {catalogue.products[i].varies}", []).append(absent is not None)
    return {name: round(float(np.mean(outcomes)), 4) for name, outcomes in sorted(shares.items())}


def _row(ranked: Sequence[_Ranked], products: Sequence[Cover]) -> dict[str, Any]:
    ranks = [rank_of(product.product_id, each.names()) for product, each in zip(products, ranked, strict=True)]
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
    if accepted := figures["accepted"]:
        names = list(next(iter(accepted.values())))
        table = Table("answered with a product", *names, title_justify="left")
        for region, shares in accepted.items():
            table.add_row(region, *(f"{shares[name]:.3f}" for name in names))
        Console().print(table)


if __name__ == "__main__":
    main()

"""Tunes vote, re-ranking and acceptance for an embedder on validation photos and freezes them in its manifest.

python -m evaluation.tune --data DIR [--write]

Which part of a photo is searched for is fitted to photos of every second style of every set (evaluation.photo_sets).
The vote is fitted to validation photos of every category, against merchants' pictures and, since these are of few
categories, training pictures with a category. Re-ranking and acceptance are fitted to the chosen parts of photos of
every second product that the embedder was never trained on, against the catalogue's side of all such products: a
catalogue that an embedder knows from training is nobody's. Re-ranking must hold in a mixed catalogue, too. The other
photos stay unseen.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from evaluation.fitting import (
    Judged,
    Observation,
    RankingQuality,
    fit_acceptance,
    fit_rerank,
    fit_vote,
    macro_accuracy,
    voted,
)
from evaluation.looking import Looker, compared
from evaluation.photo_sets import entry_of, every_second_style, tuning_sets
from evaluation.region_fitting import fit_regions, pick
from evaluation.stages import Look, Stages, read
from offline.training.embedder.split import DATASETS, split_items
from offline.training.items import Item, load_items
from services.classifier.voting import Neighbour
from services.gateway.acceptance import probability
from shiwu.inference.manifest import (
    AcceptanceRule,
    DomainMeans,
    EmbedderManifest,
    RegionRule,
    RerankRule,
    Tuning,
    VoteRule,
    read_manifest,
    write_manifest,
)

_CANDIDATES = 100
_FALSE_ACCEPTS = 0.10
_PER_LABEL = 40
_SEED = 7

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Shown:
    """A picture as a scan sees it. vector: of its main object."""

    item: Item
    detector: Sequence[tuple[str, float]]
    vector: NDArray[np.float32]
    look: Look | None = None
    """All parts of it that a scan may search for."""


@dataclass(frozen=True)
class Catalogue:
    """Pictures of the catalogue and their vectors, (n, dimension). regions: how scans choose what they search for."""

    name: str
    items: Sequence[Item]
    vectors: Vectors
    regions: RegionRule | None = None

    def nearest(self, shown: Shown, *, without: str | None = None) -> Observation:
        """The nearest pictures, without the photo itself and without the product `without`."""
        allowed = [
            i
            for i, item in enumerate(self.items)
            if item.path != shown.item.path and (without is None or item.product_id != without)
        ]
        vector = self._searched(shown, allowed)
        similarities = self.vectors @ vector
        order = [allowed[i] for i in np.argsort(-similarities[allowed], kind="stable")[:_CANDIDATES]]
        neighbours = [
            Neighbour(str(self.items[i].path), str(self.items[i].category), float(np.clip(similarities[i], -1, 1)))
            for i in order
        ]
        products = [self.items[i].product_id or str(self.items[i].path) for i in order]
        return Observation(
            source=f"{shown.item.dataset} among {self.name}",
            category=str(shown.item.category),
            product=shown.item.product_id,
            detector=shown.detector,
            vector=vector,
            neighbours=neighbours,
            products=products,
            vectors=self.vectors[order],
        )

    def _searched(self, shown: Shown, allowed: Sequence[int]) -> NDArray[np.float32]:
        """The vector of the part of the photo that a scan chooses."""
        if self.regions is None or shown.look is None:
            return shown.vector
        stock = [entry_of(self.items[i]) for i in allowed]
        looked = compared(self.name, entry_of(shown.item), shown.look, stock, self.vectors[allowed])
        vector: NDArray[np.float32] = shown.look.vectors[pick(looked, self.regions) or 0]
        return vector


def main() -> None:
    """Prints what was found, and writes it with --write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--detector", type=Path, default=Path("models/detector-lite0"))
    parser.add_argument("--embedder", type=Path, default=Path("models/embedder-lite0"))
    parser.add_argument("--write", action="store_true", help="freeze the result in the embedder's manifest")
    options = parser.parse_args()
    stages = Stages(options.detector, options.embedder)
    # Thousands of small matrices: helpers cost more than they help.
    with threadpool_limits(limits=1, user_api="blas"):
        tuning = asyncio.run(_tuned(options.data, stages, Console()))
    if options.write:
        manifest = read_manifest(options.embedder)
        if not isinstance(manifest, EmbedderManifest):
            msg = f"{options.embedder} is not an embedder"
            raise SystemExit(msg)
        write_manifest(manifest.model_copy(update={"tuning": tuning}), options.embedder)


async def _tuned(data: Path, stages: Stages, console: Console) -> Tuning:
    split = split_items(load_items(data, DATASETS))
    everything = [item for item in (*split.train, *split.validation, *split.held_out) if item.category]
    merchants = [item for item in everything if item.role == "merchant"]
    stock = merchants + _thinned([item for item in split.train if item.category and item.role in ("photo", "render")])
    shown = await _seen(stages, stock, "catalogue")
    catalogue = _catalogue("all pictures", shown)

    photos = [item for item in split.train if item.role == "photo" and item.dataset == "grocery"]
    domain_photos = await _seen(stages, _thinned(photos), "user photos")
    means = DomainMeans(
        photo=_mean(domain_photos), merchant=_mean([each for each in shown if each.item.role == "merchant"])
    )

    val = [item for item in everything if item.split == "val" and item.role in ("photo", "merchant", "render")]
    regions = await _regions(console, Looker(stages), data)
    by_category = await _seen(stages, _thinned(val), "validation")
    rule = _vote(console, [catalogue.nearest(each, without=each.item.product_id) for each in by_category])

    unknown = await _seen(stages, [i for i in split.held_out if i.role != "photo"], "held-out catalogue")
    shop = _catalogue("unknown products", unknown, regions)
    merchant = [each for each in shown if each.item.role == "merchant"]
    mixed = _catalogue("all merchants' pictures", merchant, regions)
    products = tuning_products(split.held_out)
    photos = [i for i in split.held_out if i.product_id in products and (i.dataset != "grocery" or i.role == "photo")]
    queries = await _looked_at(stages, photos, "held-out photos")
    in_both = [shop.nearest(each) for each in queries]
    in_both += [mixed.nearest(each) for each in queries if each.item.dataset != "ycb"]  # no merchant has these
    rerank = _rerank(console, in_both, means)
    accepted = _acceptance(console, shop, queries)
    return Tuning(vote=rule, rerank=rerank, acceptance=accepted, domains=means, regions=regions)


def tuning_products(held_out: Sequence[Item]) -> frozenset[str]:
    """Every second held-out product, by style, so that no style is on both sides."""
    chosen = every_second_style(held_out)
    return frozenset(str(item.product_id) for item in held_out if item.style_id in chosen)


def _catalogue(name: str, shown: Sequence[Shown], regions: RegionRule | None = None) -> Catalogue:
    return Catalogue(name, [each.item for each in shown], np.stack([each.vector for each in shown]), regions)


async def _regions(console: Console, looker: Looker, data: Path) -> RegionRule | None:
    looked = [each for photos in tuning_sets(data) for each in await looker.look(photos)]
    fit = fit_regions(looked)
    table = Table("photos of products left out", "photos", "R@1", "mAP", "looked further")
    table.title, table.title_justify = f"regions: {fit.rule}", "left"
    for source, gain in fit.gains.items():
        pairs = (gain.recall_1, gain.mean_average_precision)
        table.add_row(source, str(gain.photos), *(f"{a:.3f} -> {b:.3f}" for a, b in pairs), f"{gain.further:.2f}")
    console.print(table)
    return fit.rule


def _thinned(items: Sequence[Item]) -> list[Item]:
    """At most `_PER_LABEL` pictures of each label, drawn with a fixed seed."""
    by_label: dict[tuple[str, str | None], list[Item]] = {}
    for i in np.random.default_rng(_SEED).permutation(len(items)):
        by_label.setdefault((items[i].dataset, items[i].label), []).append(items[i])
    return [item for group in by_label.values() for item in group[:_PER_LABEL]]


async def _seen(stages: Stages, items: Sequence[Item], what: str) -> list[Shown]:
    shown = []
    for item in tqdm(items, what, unit="picture"):
        view = await stages.see(item.path.read_bytes())
        shown.append(Shown(item, view.categories, view.vector))
    return shown


async def _looked_at(stages: Stages, items: Sequence[Item], what: str) -> list[Shown]:
    """Seen with all parts that a scan may search for; the vector is that of the first."""
    shown = []
    for item in tqdm(items, what, unit="picture"):
        look = await stages.look(read(item.path.read_bytes()))
        found = look.regions[0].found
        shown.append(Shown(item, found.categories if found else (), look.vectors[0], look))
    return shown


def _mean(shown: Sequence[Shown]) -> tuple[float, ...]:
    mean = np.mean([each.vector for each in shown], axis=0)
    return tuple(round(float(value), 6) for value in mean)


def _vote(console: Console, observations: Sequence[Observation]) -> VoteRule:
    rule, accuracy = fit_vote(observations)
    truth = [each.category for each in observations]
    alone = [each.detector[0][0] if each.detector else "" for each in observations]
    table = Table("category", "photos", "detector alone", "vote", title=f"vote: {rule}", title_justify="left")
    for category in sorted(set(truth)):
        own = [each for each in observations if each.category == category]
        detector = np.mean([bool(each.detector) and each.detector[0][0] == category for each in own])
        votes = np.mean([voted(each, rule) == category for each in own])
        table.add_row(category, str(len(own)), f"{detector:.3f}", f"{votes:.3f}")
    table.add_row("mean of categories", str(len(truth)), f"{macro_accuracy(truth, alone):.3f}", f"{accuracy:.3f}")
    console.print(table)
    return rule


def _rerank(console: Console, observations: Sequence[Observation], means: DomainMeans) -> RerankRule:
    rule, tried = fit_rerank(observations, means)
    table = Table("k1", "k2", "lambda", "centred", "R@1", "R@5", "mAP", title=f"re-ranking: {len(observations)} photos")
    best = sorted(tried, key=lambda each: -each[1].mean_average_precision)[:8]
    for each, quality in [tried[0], *(pair for pair in best if pair is not tried[0])]:
        mark = "*" if each == rule else ""
        table.add_row(str(each.k1), str(each.k2), f"{each.lambda_}{mark}", str(each.centre), *_numbers(quality))
    console.print(table)
    return rule


def _numbers(quality: RankingQuality) -> list[str]:
    return [f"{value:.3f}" for value in (quality.recall_1, quality.recall_5, quality.mean_average_precision)]


def _acceptance(console: Console, catalogue: Catalogue, queries: Sequence[Shown]) -> AcceptanceRule:
    judged = []
    for each in queries:
        judged.append(_judged(catalogue.nearest(each), present=True))
        judged.append(_judged(catalogue.nearest(each, without=each.item.product_id), present=False))
    rule = fit_acceptance(judged, _FALSE_ACCEPTS)
    odds = np.array([probability(each.similarity, each.lead, rule) for each in judged])
    right = np.array([each.right for each in judged])
    table = Table("said", "photos", "right", title=f"acceptance: {rule}", title_justify="left")
    for low in np.arange(0.0, 1.0, 0.1):
        chosen = (odds >= low) & (odds < low + 0.1)
        if chosen.any():
            table.add_row(f"{low:.1f} to {low + 0.1:.1f}", str(chosen.sum()), f"{right[chosen].mean():.2f}")
    console.print(table)
    present = np.array([each.present for each in judged])
    accepted = odds >= rule.threshold
    console.print(
        f"at {rule.threshold:.3f}: absent accepted {accepted[~present].mean():.3f}, "
        f"present answered rightly {(accepted & right)[present].mean():.3f}, "
        f"wrongly {(accepted & ~right)[present].mean():.3f}"
    )
    return rule


def _judged(observation: Observation, *, present: bool) -> Judged:
    best = observation.neighbours[0]
    others = (
        neighbour.similarity
        for neighbour, product in zip(observation.neighbours, observation.products, strict=True)
        if product != observation.products[0]
    )
    lead = best.similarity - next(others, best.similarity)
    right = observation.products[0] == observation.product
    return Judged(observation.category, best.similarity, lead, right and present, present)


if __name__ == "__main__":
    main()

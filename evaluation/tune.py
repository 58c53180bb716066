"""Tunes vote, re-ranking and acceptance for an embedder on validation photos and freezes them in its manifest.

python -m evaluation.tune --data DIR [--write]

Which part of a photo is searched for is fitted to photos of every second style of every set (evaluation.photo_sets).
The vote is fitted to validation photos of every category, against merchants' pictures and, since these are of few
categories, training pictures with a category. Re-ranking, the comparison of prints and acceptance are fitted to photos
of every second product that the embedder was never trained on, against the catalogue's side of all such products and
against all merchants' pictures, to new photos of products that it knows, and to simulated shots of drawn covers. The
other products stay unseen; what was chosen is shown on them, too. The bank of past queries is made of training photos,
none of which is measured.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from evaluation.fitting import (
    Judged,
    detected,
    fit_acceptance,
    fit_vote,
    judge,
    limits,
    macro_accuracy,
    probabilities,
    voted,
)
from evaluation.looking import Looker
from evaluation.metrics import Retrieval
from evaluation.observations import Observation, Scans, World
from evaluation.observing import observe
from evaluation.photo_sets import tuning_sets
from evaluation.region_fitting import fit_regions
from evaluation.reranking import Ranker, Tried, best_of_each_kind, choose, quality, try_all
from evaluation.stages import Stages
from evaluation.verifying import fit_verification
from services.gateway.k_reciprocal import KReciprocal
from services.gateway.query_bank import QueryBank
from services.gateway.query_expansion import QueryExpansion
from services.gateway.ranking import Reranker
from shiwu.inference.manifest import EmbedderManifest, read_manifest, write_manifest
from shiwu.inference.query_bank import BANK_NAME, write_bank
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.inference.tuning import AcceptanceRule, RegionRule, Tuning, VerificationRule, VoteRule

FALSE_ACCEPTS: Final = 0.10


def main() -> None:
    """Prints what was found, and writes it with --write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--detector", type=Path, default=Path("models", DETECTOR))
    parser.add_argument("--embedder", type=Path, default=Path("models", EMBEDDER))
    parser.add_argument("--write", action="store_true", help="freeze the result in the embedder's manifest")
    options = parser.parse_args()
    stages = Stages(options.detector, options.embedder)
    # Thousands of small matrices: helpers cost more than they help.
    with threadpool_limits(limits=1, user_api="blas"):
        console = Console()
        regions = asyncio.run(_regions(console, Looker(stages), options.data))
        world = asyncio.run(observe(options.data, stages, regions))
        tuning = tuned(world, console)
    if options.write:
        freeze(tuning, world, options.embedder)


def freeze(tuning: Tuning, world: World, directory: Path) -> None:
    """Writes the tuning to the embedder's manifest and, where it is used, the bank beside it."""
    manifest = read_manifest(directory)
    if not isinstance(manifest, EmbedderManifest):
        msg = f"{directory} is not an embedder"
        raise SystemExit(msg)
    write_manifest(manifest.model_copy(update={"tuning": tuning}), directory)
    if tuning.rerank is not None and tuning.rerank.kind == "query-bank":
        write_bank(world.bank, manifest, directory)
    else:
        (directory / BANK_NAME).unlink(missing_ok=True)


def tuned(world: World, console: Console) -> Tuning:
    """What fits best, printed with what else was tried."""
    rule = _vote(console, world.votes)
    chosen = _rerank(console, world)
    tuning = Tuning(vote=rule, rerank=chosen.way.rule, acceptance=_ANY_RULE, domains=world.means, regions=world.regions)
    tuning = tuning.model_copy(update={"verification": _verification(console, world, reranker_of(tuning, world))})
    ranker = ranker_of(tuning, world)
    _unseen(console, world, ranker)
    return tuning.model_copy(update={"acceptance": _acceptance(console, world, ranker)})


_ANY_RULE: Final = AcceptanceRule(bias=0.0, similarity=0.0, margin=0.0, threshold=1.0)


def ranker_of(tuning: Tuning, world: World) -> Ranker:
    """How the gateway would rank."""
    return Ranker(reranker_of(tuning, world), tuning.verification)


def reranker_of(tuning: Tuning, world: World) -> Reranker | None:
    """What the gateway would re-rank with."""
    rule = tuning.rerank
    if rule is None or (rule.kind == "k-reciprocal" and rule.lambda_ == 1.0):
        return None
    if rule.kind == "query-bank":
        return QueryBank(rule, world.bank)
    if rule.kind == "query-expansion":
        return QueryExpansion(rule)
    return KReciprocal(rule, tuning.domains if rule.centre else None)


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


def _vote(console: Console, observations: Sequence[Observation]) -> VoteRule:
    rule, accuracy = fit_vote(observations)
    truth = [each.category for each in observations]
    alone = [detected(each) for each in observations]
    table = Table("category", "photos", "detector alone", "vote", title=f"vote: {rule}", title_justify="left")
    for category in sorted(set(truth)):
        own = [each for each in observations if each.category == category]
        detector = np.mean([detected(each) == category for each in own])
        votes = np.mean([voted(each, rule) == category for each in own])
        table.add_row(category, str(len(own)), f"{detector:.3f}", f"{votes:.3f}")
    table.add_row("mean of categories", str(len(truth)), f"{macro_accuracy(truth, alone):.3f}", f"{accuracy:.3f}")
    console.print(table)
    return rule


def _rerank(console: Console, world: World) -> Tried:
    tried = try_all({name: scans.present for name, scans in world.tuned_on.items()}, world.bank, world.means)
    chosen = choose(tried)
    shown = [*best_of_each_kind(tried)]
    shown += [chosen] if chosen not in shown else []
    title = f"re-ranking, {len(tried)} tried; best of each kind; R@1 R@5 mAP; chosen: {chosen.way.kind}"
    table = Table("kind", "parameters", "costs recall", "mean mAP", *world.tuned_on, title=title, title_justify="left")
    for each in shown:
        table.add_row(
            each.way.kind,
            each.way.parameters,
            "no" if each.costs_nothing(tried[0]) else "yes",
            f"{each.mean_average_precision:.4f}",
            *map(_numbers, each.qualities.values()),
        )
    console.print(table)
    return chosen


def _verification(console: Console, world: World, reranker: Reranker | None) -> tuple[VerificationRule, ...]:
    fit = fit_verification(world.tuned_on, reranker)
    table = Table("photos", "without: R@1 R@5 mAP", "with", "styles without", "with", title_justify="left")
    table.title = "\n".join(f"prints: {rule}" for rule in fit.rules) or "prints: not compared"
    for name, before in fit.before.items():
        after = fit.after[name]
        table.add_row(name, *map(_numbers, (before.products, after.products, before.styles, after.styles)))
    console.print(table)
    return fit.rules


def _numbers(q: Retrieval) -> str:
    return f"{q.recall_1:.3f} {q.recall_5:.3f} {q.mean_average_precision:.3f}"


def _unseen(console: Console, world: World, ranker: Ranker) -> None:
    table = Table("unseen products", "photos", "none: R@1 R@5 mAP", "as chosen", title_justify="left")
    for name, scans in world.unseen.items():
        before = quality(scans.present, lambda each: range(len(each.rows)))
        after = quality(scans.present, lambda each: ranker.rank(each).order.tolist())
        table.add_row(name, str(len(scans.present)), *map(_numbers, (before, after)))
    console.print(table)


def _acceptance(console: Console, world: World, ranker: Ranker) -> AcceptanceRule:
    fit = fit_acceptance(judge(world.tuned_on, ranker), FALSE_ACCEPTS)
    table = Table("signs", "log loss", title=f"acceptance: {fit.rule}", title_justify="left")
    for name, loss in fit.losses.items():
        table.add_row(name, f"{loss:.4f}")
    console.print(table)
    for title, sets in (("tuned on", world.tuned_on), ("unseen", world.unseen)):
        console.print(accepted_table(title, sets, ranker, fit.rule))
    return fit.rule


def accepted_table(title: str, sets: Mapping[str, Scans], ranker: Ranker, rule: AcceptanceRule) -> Table:
    """What is accepted in each set, and rightly so."""
    table = Table(title, "photos", "absent accepted", "present answered rightly", "wrongly", title_justify="left")
    for name, scans in sets.items():
        absent, right, wrong = accepted_shares(judge({name: scans}, ranker), rule)
        table.add_row(name, str(len(scans.present)), f"{absent:.3f}", f"{right:.3f}", f"{wrong:.3f}")
    return table


def accepted_shares(judged: Sequence[Judged], rule: AcceptanceRule) -> tuple[float, float, float]:
    """Shares: absent products that are accepted; present ones that are answered rightly; wrongly."""
    accepted = probabilities(judged, rule) >= limits(judged, rule)
    right = np.array([each.right for each in judged])
    present = np.array([each.present for each in judged])
    weights = np.array([each.weight for each in judged])
    return (
        float(np.average(accepted[~present], weights=weights[~present])),
        float(np.average((accepted & right)[present], weights=weights[present])),
        float(np.average((accepted & ~right)[present], weights=weights[present])),
    )


if __name__ == "__main__":
    main()

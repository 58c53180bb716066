"""Draws what the tuned parameters of an embedder do: vote, re-ranking and acceptance, as OUT.md with figures in OUT/.

python -m evaluation.curves --data DIR [--out docs/tuning]

It shows what `python -m evaluation.tune --write` has frozen in the embedder's manifest, on the same photos and on those
of products that nothing was fitted to.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from evaluation.acceptance_curves import acceptance_section
from evaluation.figures import draw_gains, draw_rerank, draw_vote
from evaluation.fitting import accuracy_of, detected, macro_accuracy, voted
from evaluation.metrics import Retrieval
from evaluation.observations import Observation, Scans, World
from evaluation.observing import observe
from evaluation.pages import block
from evaluation.reranking import Ranker, best_of_each_kind, milliseconds, quality, try_all
from evaluation.stages import Stages
from evaluation.tune import ranker_of
from evaluation.verifying import qualities, questions
from shiwu.inference.manifest import EmbedderManifest, read_manifest
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.inference.tuning import Tuning, VoteRule

_VOTE_VALUES: Final[Mapping[str, Sequence[float]]] = {
    "neighbours": range(5, 51, 5),
    "detector_weight": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
    "temperature": [0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3],
    "rank_decay": [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0],
}
_TIMED: Final = 60

T = TypeVar("T")


def main() -> None:
    """Writes the page and its figures, and prints the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--out", type=Path, default=Path("docs/tuning"), help="page without its .md, folder of figures")
    parser.add_argument("--detector", type=Path, default=Path("models", DETECTOR))
    parser.add_argument("--embedder", type=Path, default=Path("models", EMBEDDER))
    options = parser.parse_args()
    manifest = read_manifest(options.embedder)
    if not isinstance(manifest, EmbedderManifest) or manifest.tuning is None:
        msg = f"{options.embedder} is no tuned embedder; run python -m evaluation.tune --write first"
        raise SystemExit(msg)
    stages = Stages(options.detector, options.embedder)
    options.out.mkdir(parents=True, exist_ok=True)
    machine = f"{os.cpu_count()} {platform.machine()} cores, Python {platform.python_version()}"
    caption = (
        f"grocery, Luma, YCB, Caltech-101 and clothing photos, drawn covers; {read_manifest(options.detector).id}, "
        f"{manifest.id}; {machine}; {datetime.now(UTC):%Y-%m-%d}"
    )
    with threadpool_limits(limits=1, user_api="blas"):
        world = asyncio.run(observe(options.data, stages, manifest.tuning.regions))
        page = _page(world, manifest.tuning, caption, options.out)
    options.out.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


def _page(world: World, tuning: Tuning, caption: str, out: Path) -> str:
    ranker = ranker_of(tuning, world)
    sets = {**world.tuned_on, **_unseen_names(world.unseen)}
    parts = [
        "# Tuning",
        f"What `python -m evaluation.tune` has chosen for the released embedder, drawn by `python -m evaluation.curves`"
        f" ({caption}). The embedder was not trained, and nothing was fitted, on the products called unseen.",
        _vote(world.votes, tuning.vote, caption, out),
        _rerank(world, tuning, caption, out),
        _verification(sets, ranker),
        acceptance_section(world, sets, tuning.acceptance, ranker, caption, out),
    ]
    return "\n\n".join(parts) + "\n"


def _vote(observations: Sequence[Observation], rule: VoteRule, caption: str, out: Path) -> str:
    curves = {
        name: (values, vote_curve(observations, rule, name, values), float(getattr(rule, name)))
        for name, values in _VOTE_VALUES.items()
    }
    rows = category_rows(observations, rule)
    truth = [each.category for each in observations]
    alone = macro_accuracy(truth, [detected(each) for each in observations])
    vote = accuracy_of(observations, rule)
    draw_vote(curves, alone, caption, out / "vote.png")
    draw_gains(rows, caption, out / "vote-gain.png")
    table = block(
        ["category", "photos", "detector alone", "vote", "gain, points"],
        [
            [name, str(count), f"{before:.3f}", f"{after:.3f}", f"{100 * (after - before):+.1f}"]
            for name, count, before, after in [*rows, ("mean of the categories", len(truth), alone, vote)]
        ],
    )
    numbers = block(
        ["neighbours k", *(str(int(k)) for k in curves["neighbours"][0])],
        [["accuracy", *(f"{value:.3f}" for value in curves["neighbours"][1])]],
    )
    return "\n\n".join(
        [
            "## Category vote",
            f"k {rule.neighbours}, detector's share {rule.detector_weight}, temperature {rule.temperature}, rank decay"
            f" {rule.rank_decay} ([what they mean](../services/classifier/voting.py)). {len(truth)} validation photos,"
            " each without the pictures of its own product.",
            numbers,
            f"![accuracy against each parameter]({out.name}/vote.png)",
            table,
            f"![gain a category]({out.name}/vote-gain.png)",
        ]
    )


def vote_curve(
    observations: Sequence[Observation], rule: VoteRule, parameter: str, values: Sequence[float]
) -> list[float]:
    """The mean accuracy of the categories at each value of one parameter, the others as in the rule."""
    kind = int if parameter == "neighbours" else float
    return [accuracy_of(observations, rule.model_copy(update={parameter: kind(value)})) for value in values]


def category_rows(observations: Sequence[Observation], rule: VoteRule) -> list[tuple[str, int, float, float]]:
    """Of each category its photos, and the share of them put right by the detector alone and by the vote."""
    rows = []
    for category in sorted({each.category for each in observations}):
        own = [each for each in observations if each.category == category]
        alone = float(np.mean([detected(each) == category for each in own]))
        rows.append((category, len(own), alone, float(np.mean([voted(each, rule) == category for each in own]))))
    return rows


def _rerank(world: World, tuning: Tuning, caption: str, out: Path) -> str:
    tried = try_all({name: scans.present for name, scans in world.tuned_on.items()}, world.bank, world.means)
    frozen = next((each for each in tried if each.way.rule == tuning.rerank), tried[0])
    shown = [frozen if each.way.kind == frozen.way.kind else each for each in best_of_each_kind(tried)]
    unseen = {
        each.way.kind: {name: quality(scans.present, each.way.order) for name, scans in world.unseen.items()}
        for each in shown
    }
    everywhere = {each.way.kind: {**each.qualities, **_unseen_names(unseen[each.way.kind])} for each in shown}
    base = everywhere["none"]
    gains = {
        kind: {name: each.mean_average_precision - base[name].mean_average_precision for name, each in values.items()}
        for kind, values in everywhere.items()
        if kind != "none"
    }
    draw_rerank(gains, frozen.way.kind, caption, out / "rerank.png")
    photos = [each for scans in world.tuned_on.values() for each in scans.present if each.own_row is None][:_TIMED]
    rows = [
        [
            f"**{each.way.kind}**" if each is frozen else each.way.kind,
            each.way.parameters,
            f"{each.mean_average_precision:.4f}",
            "yes" if each.costs_nothing(tried[0]) else "no",
            f"{milliseconds(photos, each.way):.2f}",
        ]
        for each in shown
    ]
    sizes = {name: len(scans.present) for name, scans in world.tuned_on.items()}
    sizes |= {name: len(scans.present) for name, scans in _unseen_names(world.unseen).items()}
    details = [
        [f"{name} ({sizes[name]})", *(_cell(everywhere[each.way.kind][name]) for each in shown)] for name in base
    ]
    return "\n\n".join(
        [
            "## Re-ranking",
            f"{len(tried)} rules, the best of each kind; chosen: **{frozen.way.kind}**. A rule must cost no set of"
            " photos recall@1 or recall@5 beyond half a point, and must gain more than that in mAP, the mean over the"
            " sets that it is chosen on. Milliseconds are one photo's CPU time, its candidates' vectors"
            " being at hand. Neighbour lists are measured as search would store them, not served.",
            block(["kind", "best parameters", "mean mAP", "costs no recall", "CPU ms"], rows),
            "Recall@1, recall@5 and mAP of each set, photos in brackets; the last rows are of products that nothing was"
            " chosen on.",
            block(["set", *(each.way.kind for each in shown)], details),
            f"![gain of each kind]({out.name}/rerank.png)",
        ]
    )


def _unseen_names(sets: Mapping[str, T]) -> dict[str, T]:
    return {f"unseen {name}": value for name, value in sets.items()}


def _cell(quality: Retrieval) -> str:
    return f"{quality.recall_1:.3f} {quality.recall_5:.3f} {quality.mean_average_precision:.3f}"


def _verification(sets: Mapping[str, Scans], ranker: Ranker) -> str:
    if not ranker.verification:
        return "## Prints\n\nNot compared: no rule gains without costing some set recall."
    rows = [[f"{name} ({len(photos)})", *_without_and_with(photos, ranker)] for name, photos in questions(sets).items()]
    return "\n\n".join(
        [
            "## Prints",
            "Local features of the nearest pictures are compared with the photo's"
            " ([how](../services/gateway/verification.py)). Each group of categories has the rule that gains most mAP,"
            " of products or of styles, where no set of photos loses recall@1 or recall@5 beyond half a point.",
            block(
                ["a print tells", "categories", "pictures compared", "prove nothing", "prove all", "worth, cosine"],
                [
                    [str(cell) for cell in (each.by, ", ".join(each.categories), each.candidates, each.least)]
                    + [str(each.enough), f"{each.weight:g}"]
                    for each in ranker.verification
                ],
            ),
            "Recall@1, recall@5 and mAP of each set, photos in brackets. Nothing was chosen on those called unseen."
            " Siblings only: photos whose own product is taken out while others of its style stay.",
            block(["set", "products: without", "with", "styles: without", "with"], rows),
        ]
    )


def _without_and_with(photos: Sequence[Observation], ranker: Ranker) -> list[str]:
    without, with_them = (qualities({"": photos}, way)[""] for way in (Ranker(ranker.reranker), ranker))
    each = (without.products, with_them.products, without.styles, with_them.styles)
    # Where the photos' products are not in the catalogue, there is nothing to say of them.
    return [_cell(quality) if quality.mean_average_precision else "" for quality in each]


if __name__ == "__main__":
    main()

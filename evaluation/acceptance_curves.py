"""What the tuned acceptance does: how far its probabilities can be believed, and what its thresholds let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation.calibration import accept_curve, expected_calibration_error, reliability
from evaluation.figures import draw_acceptance
from evaluation.fitting import Judged, judge, probabilities
from evaluation.observations import Scans, World
from evaluation.pages import block
from evaluation.reranking import Ranker
from evaluation.tune import FALSE_ACCEPTS, accepted_shares
from shiwu.inference.tuning import AcceptanceRule


def acceptance_section(
    world: World, sets: Mapping[str, Scans], rule: AcceptanceRule, ranker: Ranker, caption: str, out: Path
) -> str:
    """sets: what the last table shows, by the names that it gives them. Draws acceptance.png in `out`."""
    fitted, unseen = judge(world.tuned_on, ranker), judge(world.unseen, ranker)
    bins = reliability(probabilities(unseen, rule), *_outcomes(unseen))
    error = expected_calibration_error(bins)
    fitted_error = expected_calibration_error(reliability(probabilities(fitted, rule), *_outcomes(fitted)))
    curves = {}
    for name, judged in (("fitted to", fitted), ("unseen", unseen)):
        right, weights = _outcomes(judged)
        present = np.array([each.present for each in judged])
        absent_accepted, rightly, _ = accepted_shares(judged, rule)
        curve = accept_curve(probabilities(judged, rule), right, present, weights)
        curves[name] = (curve, (absent_accepted, rightly))
    draw_acceptance(bins, error, curves, FALSE_ACCEPTS, caption, out / "acceptance.png")
    signs = {
        "similarity": rule.similarity,
        "lead": rule.margin,
        "hubness": rule.hubness,
        "agreement": rule.agreement,
        "shared print": rule.shared_print,
    }
    weights_said = ", ".join(f"{name} {weight:g}" for name, weight in signs.items() if weight)
    return "\n\n".join(
        [
            "## Acceptance",
            f"The probability that the top product is right is a logistic regression with bias {rule.bias:g} and the"
            f" weights {weights_said}. Its thresholds are the lowest that accept at most {FALSE_ACCEPTS:.0%} of the"
            " photos whose product is taken out of the catalogue, each set counting as much as any other.",
            f"Expected calibration error: {fitted_error:.3f} where it was fitted, **{error:.3f}** on unseen products"
            f" ({len(unseen)} answers).",
            block(
                ["said", "answers", "mean said", "right"],
                [
                    [f"{each.low:.1f} to {each.high:.1f}", str(each.answers), f"{each.said:.2f}", f"{each.right:.2f}"]
                    for each in bins
                ],
            ),
            f"![reliability, and what a threshold buys]({out.name}/acceptance.png)",
            _thresholds(fitted, unseen, rule),
            block(
                ["set", "photos", "absent accepted", "present answered rightly", "wrongly", "top product right"],
                [[name, *_accepted_row(scans, name, rule, ranker)] for name, scans in sets.items()],
            ),
        ]
    )


def _accepted_row(scans: Scans, name: str, rule: AcceptanceRule, ranker: Ranker) -> list[str]:
    judged = judge({name: scans}, ranker)
    top = np.mean([each.right for each in judged if each.present])
    return [str(len(scans.present)), *(f"{share:.2f}" for share in accepted_shares(judged, rule)), f"{top:.2f}"]


def _outcomes(judged: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([each.right for each in judged]), np.array([each.weight for each in judged])


def _thresholds(fitted: Sequence[Judged], unseen: Sequence[Judged], rule: AcceptanceRule) -> str:
    rows = []
    for category in sorted({each.category for each in fitted}):
        own = [each for each in fitted if each.category == category]
        other = [each for each in unseen if each.category == category]
        limit = rule.thresholds.get(category)
        said = f"{limit:.3f}" if limit is not None else f"{rule.threshold:.3f} (common)"
        rows.append([category, said, *_shares(own, rule), *_shares(other, rule)])
    heads = ["category", "threshold", "absent accepted", "answered rightly", "unseen: accepted", "unseen: rightly"]
    return block(heads, rows)


def _shares(judged: Sequence[Judged], rule: AcceptanceRule) -> list[str]:
    if not judged:
        return ["", ""]
    absent, rightly, _ = accepted_shares(judged, rule)
    return [f"{absent:.2f}", f"{rightly:.2f}"]

"""What was tuned for each embedder, from the manifests of the released models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.gateway import acceptance, k_reciprocal, query_expansion
from services.gateway.k_reciprocal import KReciprocal
from services.gateway.query_bank import QueryBank
from services.gateway.query_expansion import QueryExpansion
from services.gateway.ranking import Mode, Reranker
from shiwu.inference.manifest import FILE_NAME, EmbedderManifest, ManifestError, read_manifest
from shiwu.inference.query_bank import BankError, read_bank
from shiwu.inference.tuning import (
    AcceptanceRule,
    DomainMeans,
    KReciprocalRule,
    QueryExpansionRule,
    RegionRule,
    RerankRule,
    VerificationRule,
)


@dataclass(frozen=True, slots=True)
class Tuning:
    """How answers are made from one model's vectors."""

    neighbours: int
    """Nearest pictures that are asked for their category."""
    acceptance: AcceptanceRule
    rule: RerankRule | None = None
    """How candidates are re-ranked, as it was tuned; None: not at all."""
    means: DomainMeans | None = None
    reranker: Reranker | None = None
    """What does it; None: nothing, and then candidates need not come with their vectors."""
    refusal: str = ""
    """Why there is none though there should be."""
    regions: RegionRule | None = None
    """How the part of the photo that is searched for is chosen; None: without asking search."""
    verification: Sequence[VerificationRule] = ()
    """How prints are compared."""


UNTUNED: Final = Tuning(neighbours=20, acceptance=acceptance.DEFAULT_RULE)
"""For a model that nobody has tuned: no re-ranking, since nobody knows whether it would help."""


class Tunings:
    """The tuning of every embedder."""

    def __init__(self, by_model: Mapping[str, Tuning], mode: Mode | None = None) -> None:
        """by_model: by the model's id. mode: re-rank so whatever was tuned; None: as it was tuned."""
        self._by_model = {model: _in_mode(tuning, mode) for model, tuning in by_model.items()}
        self._untuned = _in_mode(UNTUNED, mode)

    def of(self, model: str) -> Tuning:
        """The model's tuning, or what is safe for one that nobody has tuned."""
        return self._by_model.get(model, self._untuned)


def read_tunings(models: Path) -> Mapping[str, Tuning]:
    """The tuning of every embedder in the folder, by the model's id. Raises ManifestError.

    A query bank that is missing or another model's is no such error: answers are then ranked by similarity, and say
    so.
    """
    if not models.is_dir():
        msg = f"{models} is not a folder; expected the folder of the released models"
        raise ManifestError(msg)
    tunings = {}
    for path in sorted(models.glob(f"*/{FILE_NAME}")):
        manifest = read_manifest(path.parent)
        if isinstance(manifest, EmbedderManifest):
            tunings[manifest.id] = _tuning(manifest, path.parent)
    return tunings


def _tuning(manifest: EmbedderManifest, directory: Path) -> Tuning:
    tuned = manifest.tuning
    if tuned is None:
        return UNTUNED
    for name, mean in (("photo", tuned.domains.photo), ("merchant", tuned.domains.merchant)):
        if len(mean) != manifest.dimension:
            msg = f"{manifest.id}: tuning.domains.{name} has {len(mean)} numbers; expected {manifest.dimension}"
            raise ManifestError(msg)
    tuning = Tuning(tuned.vote.neighbours, tuned.acceptance, tuned.rerank, tuned.domains, regions=tuned.regions)
    tuning = replace(tuning, verification=tuned.verification)
    rule = tuned.rerank
    if rule is None or (rule.kind == "k-reciprocal" and rule.lambda_ == 1.0):  # lambda 1 leaves the order alone
        return tuning
    if rule.kind == "query-bank":
        try:
            return replace(tuning, reranker=QueryBank(rule, read_bank(manifest, directory)))
        except BankError as error:
            return replace(tuning, refusal=str(error))
    if rule.kind == "query-expansion":
        return replace(tuning, reranker=QueryExpansion(rule))
    return replace(tuning, reranker=KReciprocal(rule, tuned.domains if rule.centre else None))


def _in_mode(tuning: Tuning, mode: Mode | None) -> Tuning:
    """The tuning with another way to re-rank; with its own parameters where it was tuned to that way."""
    if mode is None:
        return tuning
    if mode == "query-bank":
        if isinstance(tuning.reranker, QueryBank) or tuning.refusal:
            return tuning
        return replace(tuning, reranker=None, refusal="no query bank was released with the embedder")
    rule = tuning.rule
    reciprocal = rule if isinstance(rule, KReciprocalRule) else k_reciprocal.DEFAULT_RULE
    expansion = rule if isinstance(rule, QueryExpansionRule) else query_expansion.DEFAULT_RULE
    rerankers: dict[Mode, Reranker | None] = {
        "none": None,
        "plain": KReciprocal(reciprocal),
        "domain": KReciprocal(reciprocal, tuning.means),
        "query-expansion": QueryExpansion(expansion),
    }
    return replace(tuning, reranker=rerankers[mode], refusal="")

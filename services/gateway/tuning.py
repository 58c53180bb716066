"""What was tuned for each embedder, from the manifests of the released models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.gateway import acceptance, ranking
from shiwu.inference.manifest import (
    FILE_NAME,
    AcceptanceRule,
    DomainMeans,
    EmbedderManifest,
    ManifestError,
    RegionRule,
    RerankRule,
    read_manifest,
)


@dataclass(frozen=True, slots=True)
class Tuning:
    """How answers are made from one model's vectors."""

    neighbours: int
    """Nearest pictures that are asked for their category."""
    mode: ranking.Mode
    """How candidates are re-ranked."""
    rerank: RerankRule
    acceptance: AcceptanceRule
    means: DomainMeans | None
    regions: RegionRule | None = None
    """How the part of the photo that is searched for is chosen; None: without asking search."""


UNTUNED: Final = Tuning(
    neighbours=20, mode="none", rerank=ranking.DEFAULT_RULE, acceptance=acceptance.DEFAULT_RULE, means=None
)
"""For a model that nobody has tuned: no re-ranking, since nobody knows whether it would help."""


class Tunings:
    """The tuning of every embedder."""

    def __init__(self, by_model: Mapping[str, Tuning], mode: ranking.Mode | None = None) -> None:
        """by_model: by the model's id. mode: re-rank so whatever was tuned; None: as it was tuned."""
        self._by_model = {model: _in_mode(tuning, mode) for model, tuning in by_model.items()}
        self._untuned = _in_mode(UNTUNED, mode)

    def of(self, model: str) -> Tuning:
        """The model's tuning, or what is safe for one that nobody has tuned."""
        return self._by_model.get(model, self._untuned)


def read_tunings(models: Path) -> Mapping[str, Tuning]:
    """The tuning of every embedder in the folder, by the model's id. Raises ManifestError."""
    if not models.is_dir():
        msg = f"{models} is not a folder; expected the folder of the released models"
        raise ManifestError(msg)
    manifests = [read_manifest(path.parent) for path in sorted(models.glob(f"*/{FILE_NAME}"))]
    return {manifest.id: _tuning(manifest) for manifest in manifests if isinstance(manifest, EmbedderManifest)}


def _tuning(manifest: EmbedderManifest) -> Tuning:
    tuned = manifest.tuning
    if tuned is None:
        return UNTUNED
    for name, mean in (("photo", tuned.domains.photo), ("merchant", tuned.domains.merchant)):
        if len(mean) != manifest.dimension:
            msg = f"{manifest.id}: tuning.domains.{name} has {len(mean)} numbers; expected {manifest.dimension}"
            raise ManifestError(msg)
    mode: ranking.Mode = "domain" if tuned.rerank.centre else "plain"
    if tuned.rerank.lambda_ == 1.0:  # found not to help: then candidates need not come with their vectors
        mode = "none"
    return Tuning(tuned.vote.neighbours, mode, tuned.rerank, tuned.acceptance, tuned.domains, tuned.regions)


def _in_mode(tuning: Tuning, mode: ranking.Mode | None) -> Tuning:
    return tuning if mode is None else replace(tuning, mode=mode)

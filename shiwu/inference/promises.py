"""A manifest promises inputs and outputs; a model that differs would fail only at the first request."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from shiwu.inference.manifest import DetectorManifest, EmbedderManifest, ManifestError
from shiwu.inference.tensors import Declared


def check_promises(
    manifest: DetectorManifest | EmbedderManifest, inputs: Sequence[Declared], outputs: Collection[str], where: str
) -> None:
    """Raises ManifestError unless the model takes and gives what its manifest says. where: what has the model."""
    promised = {spec.name: (spec.dtype, tuple(_size(s) for s in spec.shape)) for spec in manifest.inputs}
    found = {spec.name: (spec.dtype.name, spec.shape) for spec in inputs}
    if promised != found:
        msg = f"the manifest of {manifest.id} promises inputs {promised}, but {where} has {found}"
        raise ManifestError(msg)
    names = {spec.name for spec in manifest.outputs}
    if names != set(outputs):
        msg = f"the manifest of {manifest.id} promises outputs {sorted(names)}, but {where} has {sorted(outputs)}"
        raise ManifestError(msg)


def _size(side: int | str) -> int | None:
    return side if isinstance(side, int) else None

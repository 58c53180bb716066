"""From the address of a model to its runner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shiwu.inference.manifest import FILE_NAME, DetectorManifest, EmbedderManifest, ManifestError, read_manifest
from shiwu.inference.options import RunnerOptions
from shiwu.inference.runner import ModelRunner

if TYPE_CHECKING:
    from shiwu.inference.onnx import OnnxRunner


def open_model(address: str | Path, options: RunnerOptions | None = None) -> ModelRunner:
    """The runner of a model.

    address: "SCHEME:REST" (see `SCHEMES`), or simply the directory of a released model (manifest and file), which
    ONNX Runtime then runs in process. "onnx:PATH" takes a directory or an .onnx file.
    Raises ManifestError for a directory that is not a release, ModelError for a file that does not load, ValueError
    for an unknown scheme.
    """
    options = options or RunnerOptions()
    scheme, colon, rest = str(address).partition(":")
    if isinstance(address, Path) or not colon or "/" in scheme:
        return _onnx(str(address), options)
    if scheme not in SCHEMES:
        msg = f"no model scheme {scheme!r} in {address!r}; known are {', '.join(SCHEMES)}, or a plain directory"
        raise ValueError(msg)
    return SCHEMES[scheme](rest, options)


def _onnx(path: str, options: RunnerOptions) -> ModelRunner:
    # Here, because a process whose models run elsewhere needs no ONNX Runtime (an extra) and none of its memory.
    from shiwu.inference.onnx import OnnxRunner  # noqa: PLC0415

    target = Path(path)
    if target.suffix == ".onnx":
        return OnnxRunner(target, options)
    manifest = read_manifest(target)
    runner = OnnxRunner(target / manifest.file, options)
    _check_graph(runner, manifest, target)
    return runner


def _check_graph(runner: OnnxRunner, manifest: DetectorManifest | EmbedderManifest, directory: Path) -> None:
    """The manifest promises inputs and outputs; a graph that differs would fail only at the first request."""
    promised = {spec.name: (spec.dtype, tuple(_size(s) for s in spec.shape)) for spec in manifest.inputs}
    found = {spec.name: (spec.dtype.name, spec.shape) for spec in runner.inputs}
    if promised != found:
        msg = f"{directory / FILE_NAME} promises inputs {promised}, but {manifest.file} has {found}"
        raise ManifestError(msg)
    outputs = {spec.name for spec in manifest.outputs}
    if outputs != set(runner.outputs):
        msg = f"{directory / FILE_NAME} promises outputs {sorted(outputs)}, but {manifest.file} has {runner.outputs}"
        raise ManifestError(msg)


def _size(side: int | str) -> int | None:
    return side if isinstance(side, int) else None


SCHEMES: dict[str, Callable[[str, RunnerOptions], ModelRunner]] = {"onnx": _onnx}
"""Address schemes and what opens them."""

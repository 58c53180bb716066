"""From the address of a model to its runner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shiwu.inference.manifest import read_manifest
from shiwu.inference.options import RunnerOptions
from shiwu.inference.promises import check_promises
from shiwu.inference.runner import ModelRunner


def open_model(address: str | Path, options: RunnerOptions | None = None) -> ModelRunner:
    """The runner of a model.

    address: simply the directory of a released model (manifest and file), which runs at the endpoint that the options
    name, or else in process; or "SCHEME:REST" (see `SCHEMES`). "onnx:PATH" takes a directory or an .onnx file and is
    always in process. "triton://HOST:PORT/MODEL" or ".../MODEL/VERSION" is on a Triton server, which need not be up.
    Raises ManifestError for a directory that is not a release, ModelError for a file that does not load, ValueError
    for an unknown scheme or a malformed address.
    """
    options = options or RunnerOptions()
    scheme, colon, rest = str(address).partition(":")
    if isinstance(address, Path) or not colon or "/" in scheme:
        return _onnx(str(address), options) if options.endpoint is None else _at_endpoint(Path(address), options)
    if scheme not in SCHEMES:
        msg = f"no model scheme {scheme!r} in {address!r}; known are {', '.join(SCHEMES)}, or a plain directory"
        raise ValueError(msg)
    return SCHEMES[scheme](rest, options)


# The adapters are imported here, because a process needs only the one that it uses: both are extras, and large.


def _onnx(path: str, options: RunnerOptions) -> ModelRunner:
    from shiwu.inference.onnx import OnnxRunner  # noqa: PLC0415

    target = Path(path)
    if target.suffix == ".onnx":
        return OnnxRunner(target, options)
    manifest = read_manifest(target)
    runner = OnnxRunner(target / manifest.file, options)
    check_promises(manifest, runner.inputs, runner.outputs, str(target / manifest.file))
    return runner


def _triton(address: str, options: RunnerOptions) -> ModelRunner:
    from shiwu.inference.triton import TritonRunner  # noqa: PLC0415

    return TritonRunner(f"triton:{address}", options)


def _at_endpoint(directory: Path, options: RunnerOptions) -> ModelRunner:
    from shiwu.inference.triton import TritonRunner  # noqa: PLC0415

    manifest = read_manifest(directory)
    return TritonRunner(f"{options.endpoint}/{manifest.name}/{manifest.version}", options, manifest)


SCHEMES: dict[str, Callable[[str, RunnerOptions], ModelRunner]] = {"onnx": _onnx, "triton": _triton}
"""Address schemes and what opens them."""

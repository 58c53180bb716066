"""Which files each format consists of, and how each is made and run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from offline.export import runtimes, to_int8, to_ncnn, to_onnx, to_tensorrt
from offline.export.errors import UsageError
from offline.export.gate import Precision
from offline.export.pictures import Pictures
from offline.export.runtimes import Released, Run
from offline.export.to_tensorrt import EngineOptions
from offline.training.release import file_sha256
from shiwu.inference.manifest import FILE_NAME, write_manifest

FORMATS: Final = ("onnx", "int8", "tensorrt", "ncnn")

_ONNX: Final = "model.onnx"
_HALF: Final = "model.fp16.onnx"
_INT8: Final = "model.int8.onnx"
_INT8_TENSORRT: Final = "model.int8-trt.onnx"
_NCNN: Final = ("model.ncnn.param", "model.ncnn.bin")


@dataclass(frozen=True, slots=True)
class Job:
    """What everything is made from."""

    released: Path
    """The released ONNX file."""
    manifest: Released
    pictures: Pictures
    out: Path
    """Where finished parts lie."""
    engines: EngineOptions


@dataclass(frozen=True, slots=True)
class Part:
    """One model in one format."""

    name: str
    files: tuple[str, ...]
    precision: Precision
    tools: tuple[str, ...]
    """Packages whose versions matter."""
    make: Callable[[Job, Path], None]
    """Writes the files into a folder, from the released file or from finished parts."""
    run: Callable[[Path, tuple[str, ...], Released], Run] | None
    """Opens the files in a folder; None: they cannot be run on the machine that makes them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else changes the files; as JSON would have it."""


def parts(formats: Sequence[str], engines: EngineOptions) -> list[Part]:
    """The parts of these formats and those that they are made from, in the order of making.

    Raises UsageError for an unknown format or option, and for a package that is missing.
    """
    for name in formats:
        if name not in FORMATS:
            msg = f"format {name!r} is unknown; there are {', '.join(FORMATS)}"
            raise UsageError(msg)
    chosen = [_EXACT]
    if "int8" in formats:
        chosen.append(_CPU)
    if "int8" in formats or "tensorrt" in formats:
        chosen.append(_TENSORRT)
    if "tensorrt" in formats:
        to_tensorrt.check_options(engines)
        chosen += [_FLOAT16, *(_engine(source, engines) for source in (_EXACT, _FLOAT16, _TENSORRT))]
    if "ncnn" in formats:
        for package in ("ncnn", "pnnx"):
            if importlib.util.find_spec(package) is None:
                msg = f"format ncnn needs the package {package}: pip install 'shiwu[export]'"
                raise UsageError(msg)
        chosen.append(_PHONE)
    return chosen


def _engine(source: Part, options: EngineOptions) -> Part:
    """The TensorRT engine of an ONNX part."""
    library = to_tensorrt.library().__name__
    ahead = library == to_tensorrt.RTX
    file = source.files[0].removesuffix(".onnx") + (f".rtx-{options.capability}.engine" if ahead else ".engine")

    def make(job: Job, folder: Path) -> None:
        cache = job.out / to_tensorrt.TIMING_CACHE
        to_tensorrt.build(job.out / source.files[0], folder / file, job.manifest, job.engines, cache)

    precision: Precision = "int8" if source is _TENSORRT else "float"
    run = None if ahead else runtimes.tensorrt
    settings = {**asdict(options), "batches": list(options.batches)}
    return Part(f"engine of {source.name}", (file,), precision, (library,), make, run, settings)


def _make_for_cpu(job: Job, folder: Path) -> None:
    """With a manifest, so that a service can run it. By a name of its own, for its vectors are not quite the same."""
    to_int8.for_cpu(job.out / _ONNX, folder / _INT8, job.pictures.calibration)
    own = {"name": f"{job.manifest.name}-int8", "file": _INT8, "sha256": file_sha256(folder / _INT8)}
    write_manifest(job.manifest.model_copy(update=own), folder)


_EXACT: Final = Part(
    "onnx",
    (_ONNX,),
    "float",
    ("onnx",),
    lambda job, folder: to_onnx.make(job.released, job.manifest, folder / _ONNX),
    runtimes.onnx_runtime,
)
_CPU: Final = Part(
    "int8",
    (_INT8, FILE_NAME),
    "int8",
    ("onnxruntime",),
    _make_for_cpu,
    runtimes.onnx_runtime,
)
_TENSORRT: Final = Part(
    "int8-trt",
    (_INT8_TENSORRT,),
    "int8",
    ("onnxruntime",),
    lambda job, folder: to_int8.for_tensorrt(job.out / _ONNX, folder / _INT8_TENSORRT, job.pictures.calibration),
    runtimes.onnx_runtime,
)
_FLOAT16: Final = Part(
    "fp16",
    (_HALF,),
    "float",
    ("onnxruntime",),
    lambda job, folder: to_tensorrt.half(job.out / _ONNX, folder / _HALF),
    runtimes.onnx_runtime,
)
_PHONE: Final = Part(
    "ncnn",
    _NCNN,
    "float",
    ("ncnn", "pnnx"),
    lambda job, folder: to_ncnn.make(job.out / _ONNX, job.manifest, *(folder / name for name in _NCNN)),
    runtimes.ncnn,
)

"""TensorRT engines, and the half-precision ONNX file that one of them is built from.

Networks are strongly typed, the only kind that TensorRT 11 knows: an engine computes in the types of its ONNX file.
With the package `tensorrt` engines are built and run on this machine's GPU. With `tensorrt_rtx` they are built ahead
of time, without a GPU, for a named compute capability; these run only under TensorRT-RTX with a driver, so here they
prove that TensorRT reads the graph and no more.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from offline.export.errors import ExportError, UsageError
from offline.export.runtimes import Released

RTX: Final = "tensorrt_rtx"
TIMING_CACHE: Final = "tensorrt-timing.cache"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How engines are built."""

    batches: tuple[int, int, int] = (1, 8, 32)
    """Least, best-served and largest batch."""
    capability: str = "SM89"
    """Compute capability that TensorRT-RTX builds for."""
    version_compatible: bool = False
    """Whether later versions of TensorRT may load the engine too; not with TensorRT-RTX."""


def library() -> Any:
    """TensorRT if it is installed, else TensorRT-RTX. Raises UsageError if neither is."""
    for name in ("tensorrt", RTX):
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    msg = "format tensorrt needs a package: with a GPU tensorrt, without one pip install 'shiwu[tensorrt]'"
    raise UsageError(msg)


def check_options(options: EngineOptions) -> None:
    """Raises UsageError for options that the installed library does not know."""
    least, best, largest = options.batches
    if not 1 <= least <= best <= largest:
        msg = f"batches {least},{best},{largest}; expected 1 <= least <= best <= largest"
        raise UsageError(msg)
    trt = library()
    if trt.__name__ != RTX:
        return
    known = [name for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    if options.capability not in known:
        msg = f"capability {options.capability} is unknown; TensorRT-RTX {trt.__version__} has {', '.join(known)}"
        raise UsageError(msg)
    if options.version_compatible:
        msg = "TensorRT-RTX builds no version-compatible engines; the package tensorrt does"
        raise UsageError(msg)


def half(source: Path, target: Path) -> None:
    """Writes a float32 ONNX file with float16 inside; inputs and outputs stay as they are."""
    # Resize is on the list for old runtimes; TensorRT resizes halves.
    blocked = [kind for kind in DEFAULT_OP_BLOCK_LIST if kind != "Resize"]
    model = convert_float_to_float16(onnx.load(source), keep_io_types=True, op_block_list=blocked)
    # The converter appends casts at the end and leaves the types of inner tensors as they were.
    OnnxModel(model).topological_sort()
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def build(source: Path, target: Path, manifest: Released, options: EngineOptions, cache: Path) -> None:
    """Builds the engine of an ONNX file.

    cache: kernel timings, read and written, so that the next build is quick (not with TensorRT-RTX, which times
    kernels where it runs). Raises ExportError with TensorRT's words when it cannot.
    """
    trt = library()
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.INTERNAL_ERROR))
    if not parser.parse(source.read_bytes()):
        reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        msg = f"TensorRT {trt.__version__} does not read {source.name}: {reasons}"
        raise ExportError(msg)
    config = builder.create_builder_config()
    profile, image = builder.create_optimization_profile(), manifest.inputs[0]
    profile.set_shape(image.name, *((batch, *image.shape[1:]) for batch in options.batches))
    config.add_optimization_profile(profile)
    if trt.__name__ == RTX:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.__members__[options.capability], 0)
    else:
        timings = config.create_timing_cache(cache.read_bytes() if cache.exists() else b"")
        config.set_timing_cache(timings, ignore_mismatch=False)
        if options.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    with _stdout_to_stderr():
        engine = builder.build_serialized_network(network, config)
    if engine is None:
        msg = f"TensorRT {trt.__version__} builds no engine from {source.name}; its log says why"
        raise ExportError(msg)
    target.write_bytes(memoryview(engine))
    if trt.__name__ != RTX:
        cache.write_bytes(memoryview(config.get_timing_cache().serialize()))


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """TensorRT's compiler writes warnings to stdout, past Python, where a reader expects the table alone."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)

"""Running a model's files, whatever their format, behind one signature; one CPU thread each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tqdm import tqdm

from offline.export.errors import ExportError
from offline.export.pictures import Squares
from shiwu.inference.manifest import DetectorManifest, EmbedderManifest

Released = DetectorManifest | EmbedderManifest
Outputs = dict[str, NDArray[np.float32]]
Run = Callable[[Squares], Outputs]
"""Squares (n, size, size, 3) to the outputs that the manifest names, n rows each."""

_BATCH: Final = 8
"""More than one, so that a batch axis that only looks dynamic is noticed."""


def in_batches(run: Run, squares: Squares, what: str) -> Outputs:
    """The outputs for any number of squares, with a progress bar that says what for."""
    starts = tqdm(range(0, len(squares), _BATCH), desc=what, unit="batch")
    return _joined([run(squares[i : i + _BATCH]) for i in starts])


def onnx_runtime(folder: Path, files: tuple[str, ...], manifest: Released) -> Run:
    """An ONNX file on ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Quantised and half graphs make it warn of constants that it folds itself.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / files[0], options, providers=["CPUExecutionProvider"])
    source, names = manifest.inputs[0].name, [output.name for output in manifest.outputs]

    def run(squares: Squares) -> Outputs:
        return dict(zip(names, session.run(names, {source: squares}), strict=True))

    return run


def ncnn(folder: Path, files: tuple[str, ...], manifest: Released) -> Run:
    """A pair of .param and .bin on ncnn, which reads one picture at a time. Raises ExportError if it does not load."""
    library: Any = importlib.import_module("ncnn")
    net = library.Net()
    net.opt.num_threads = 1
    if net.load_param(str(folder / files[0])) or net.load_model(str(folder / files[1])):
        msg = f"ncnn does not load {files[0]}"
        raise ExportError(msg)
    size = manifest.preprocessing.size

    def one(square: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        extractor = net.create_extractor()
        extractor.input("in0", library.Mat.from_pixels(square, library.Mat.PixelType.PIXEL_RGB, size, size))
        return [np.array(extractor.extract(f"out{i}")[1], np.float32) for i in range(len(manifest.outputs))]

    def run(squares: Squares) -> Outputs:
        rows = [one(np.ascontiguousarray(square)) for square in squares]
        return {output.name: np.stack([row[i] for row in rows]) for i, output in enumerate(manifest.outputs)}

    return run


def tensorrt(folder: Path, files: tuple[str, ...], manifest: Released) -> Run:
    """An engine on the GPU that it was built for; torch holds its memory. The times hold both copies.

    Written against TensorRT 11 and never run by us, for want of a GPU. Raises ExportError if it does not load.
    """
    library: Any = importlib.import_module("tensorrt")
    torch: Any = importlib.import_module("torch")
    runtime = library.Runtime(library.Logger(library.Logger.WARNING))
    # A version-compatible engine carries its own runtime as host code; this one was built a moment ago, by us.
    runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine((folder / files[0]).read_bytes())
    if engine is None:
        msg = f"TensorRT {library.__version__} does not load {files[0]}"
        raise ExportError(msg)
    context, stream = engine.create_execution_context(), torch.cuda.Stream()
    source = manifest.inputs[0].name
    largest = engine.get_tensor_profile_shape(source, 0)[2][0]

    def part(squares: Squares) -> Outputs:
        with torch.cuda.stream(stream):
            images = torch.from_numpy(squares).cuda()
            context.set_input_shape(source, squares.shape)
            context.set_tensor_address(source, images.data_ptr())
            given = {o.name: torch.empty((len(squares), *o.shape[1:]), device="cuda") for o in manifest.outputs}
            for name, tensor in given.items():
                context.set_tensor_address(name, tensor.data_ptr())
            if not context.execute_async_v3(stream.cuda_stream):
                msg = f"TensorRT failed to run {files[0]}"
                raise ExportError(msg)
            return {name: tensor.cpu().numpy() for name, tensor in given.items()}

    def run(squares: Squares) -> Outputs:
        return _joined([part(squares[i : i + largest]) for i in range(0, len(squares), largest)])

    return run


def _joined(parts: Sequence[Outputs]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

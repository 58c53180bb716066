"""Static quantisation to 8 bits (Jacob et al., Quantization and Training of Neural Networks, CVPR 2018).

Two files, since no graph suits both: ONNX Runtime is quick on a CPU when activations are unsigned and everything
between two convolutions is quantised too; TensorRT reads only signed, symmetric activations and float biases, and
wants them quantised where a convolution reads them, after the ReLU6 has cut them, not where it writes them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from tqdm import tqdm

from offline.export.pictures import Squares

_EARLY: Final = 2
"""Convolutions of this stride, counted from the picture, stay in float."""


def for_cpu(source: Path, target: Path, calibration: Squares) -> None:
    """Quantises a float ONNX file for ONNX Runtime on a CPU."""
    with tempfile.TemporaryDirectory() as folder:
        folded = _folded(source, Path(folder))
        graph = onnx.load(folded).graph
        quantize_static(
            folded,
            target,
            _Calibration(graph.input[0].name, calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv", "Add", "Clip", "Relu", "Resize"],
            nodes_to_exclude=sensitive(graph),
        )


def for_tensorrt(source: Path, target: Path, calibration: Squares) -> None:
    """Quantises a float ONNX file for TensorRT; on a CPU the result is slower than the original."""
    with tempfile.TemporaryDirectory() as folder:
        folded = _folded(source, Path(folder))
        graph, kinds = onnx.load(folded).graph, ["Conv", "Gemm", "MatMul"]
        quantize_static(
            folded,
            target,
            _Calibration(graph.input[0].name, calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=kinds,
            nodes_to_exclude=sensitive(graph),
            extra_options={
                "ActivationSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": kinds,
            },
        )


def sensitive(graph: Any) -> list[str]:
    """Names of the nodes to leave in float: the convolutions at the picture's size or half of it, and what follows the
    last ones (softmax, pooling, projection, norm), which is cheap and would lose most.

    Early channels are few and saturate on plain backgrounds, where a rounded weight errs by the same amount all over
    the picture.
    """
    strides = _strides(graph)
    names = [
        node.name
        for node in graph.node
        if node.op_type == "Conv" and (strides.get(node.input[0], 1) == 1 or strides[node.output[0]] <= _EARLY)
    ]
    awaited: set[str] = set()  # tensors on which some convolution further on depends
    for node in reversed(graph.node):
        if node.op_type == "Conv" or awaited.intersection(node.output):
            awaited.update(node.input)
        else:
            names.append(node.name)
    return names


def _strides(graph: Any) -> dict[str, int]:
    """By how much convolutions have made each tensor smaller than the picture."""
    strides: dict[str, int] = {}
    for node in graph.node:
        own = next((each.ints[0] for each in node.attribute if each.name == "strides"), 1)
        before = max((strides.get(name, 1) for name in node.input), default=1)
        strides |= dict.fromkeys(node.output, before * (own if node.op_type == "Conv" else 1))
    return strides


def _folded(source: Path, folder: Path) -> Path:
    """The model with batch norms merged into convolutions: quantised apart, each would round once more."""
    target = folder / "folded.onnx"
    # Its symbolic shape inference trips over a batch that an Expand depends on; ONNX's own is enough here.
    quant_pre_process(source, target, skip_symbolic_shape=True)
    return target


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Hands pictures to the calibrator one by one."""

    def __init__(self, name: str, squares: Squares) -> None:
        self._name = name
        self._squares: Iterator[NDArray[np.uint8]] = iter(tqdm(squares, desc="calibration", unit="picture"))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        square = next(self._squares, None)
        return None if square is None else {self._name: square[None]}

"""ncnn, for phones: pnnx converts the ONNX file, once it is written in words that pnnx knows."""

from __future__ import annotations

import importlib
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from offline.export.errors import ExportError
from offline.export.runtimes import Released
from offline.export.to_onnx import pixels_in

# What pnnx prints of an operator, or of an operator's parameter, that it leaves out.
_LOST: Final = re.compile(r"^(?:todo|ignore) .*$", re.MULTILINE)
_SECONDS: Final = 600


def make(source: Path, manifest: Released, param: Path, weights: Path) -> None:
    """Converts an ONNX file; weights become float16, which halves the file.

    The net reads float RGB 0..255, channels first, as `ncnn::Mat::from_pixels` gives it ("in0"), one picture at a
    time, and gives the manifest's outputs in their order ("out0", "out1", ...). Raises ExportError with pnnx's words.
    """
    pnnx: Any = importlib.import_module("pnnx")
    with tempfile.TemporaryDirectory() as folder:
        model = onnx.load(source)
        _one_float_picture(model.graph, manifest)
        _pool_reductions(model)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, Path(folder) / "model.onnx")
        size = manifest.preprocessing.size
        command = [
            pnnx.EXEC_PATH,
            "model.onnx",
            f"inputshape=[1,3,{size},{size}]",
            f"ncnnparam={param.resolve()}",
            f"ncnnbin={weights.resolve()}",
        ]
        # In a folder of its own, since pnnx leaves half a dozen other files behind.
        done = subprocess.run(  # noqa: S603 - the wheel's own program
            command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    # pnnx ends well with layers missing, and ncnn may crash on what it wrote then.
    lost = _LOST.findall(done.stdout + done.stderr)
    if done.returncode or lost or not param.exists():
        words = "; ".join(lost) or done.stderr.strip()[-500:] or f"exit code {done.returncode}"
        msg = f"pnnx does not convert {source.name}: {words}"
        raise ExportError(msg)


def _one_float_picture(graph: Any, manifest: Released) -> None:
    """Lets the graph begin after the conversion of pixels, and fixes its batch at 1."""
    name, size = manifest.inputs[0].name, manifest.preprocessing.size
    cast, transpose = pixels_in(graph, name)
    if cast is None or transpose is None:
        msg = f"input {name} does not become float and channels first; ncnn's pictures are so"
        raise ExportError(msg)
    graph.node.remove(cast)
    graph.node.remove(transpose)
    for node in graph.node:
        for i, tensor in enumerate(node.input):
            if tensor in {cast.output[0], transpose.output[0]}:
                node.input[i] = name
    graph.input[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, size, size]))
    for output in graph.output:
        output.type.tensor_type.shape.dim[0].dim_value = 1


def _pool_reductions(model: Any) -> None:
    """Writes a sum or maximum over the last of three axes as pooling over its whole length, which is the same.

    pnnx drops the axes of a ReduceSum and does not know ReduceMax in opset 18.
    """
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in graph.value_info}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        shape = shapes.get(node.input[0], []) if node.op_type in {"ReduceSum", "ReduceMax"} else []
        axes = constants.get(node.input[1]) if len(node.input) > 1 else None
        if len(shape) != 3 or axes is None or axes.tolist() not in ([2], [-1]):
            nodes.append(node)
            continue
        keeps = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        result, length = node.output[0], shape[2]
        pooled = result if keeps else f"{result}.kept"
        if node.op_type == "ReduceMax":
            nodes.append(helper.make_node("MaxPool", [node.input[0]], [pooled], kernel_shape=[length]))
        else:
            model.graph.initializer.append(numpy_helper.from_array(np.array(length, np.float32), f"{result}.length"))
            nodes += [
                helper.make_node("AveragePool", [node.input[0]], [f"{result}.mean"], kernel_shape=[length]),
                helper.make_node("Mul", [f"{result}.mean", f"{result}.length"], [pooled]),
            ]
        if not keeps:
            nodes.append(helper.make_node("Squeeze", [pooled, node.input[1]], [result]))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)

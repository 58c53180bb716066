"""The released ONNX file checked, and rewritten so that every other format can be made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import onnx
from onnx import TensorProto

from offline.export.errors import UsageError
from offline.export.runtimes import Released

_OPSET: Final = 18


def check(path: Path, manifest: Released) -> Any:
    """The model in `path`.

    Raises UsageError unless it is valid ONNX of opset 18 that has its weights inside, a dynamic batch, and the inputs
    and outputs of the manifest.
    """
    try:
        # Loaded without external weights, so that files beside it are not read before they are refused.
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf's and the checker's errors share no base class
        msg = f"{path} is not valid ONNX: {error}"
        raise UsageError(msg) from error
    opset = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    if opset != _OPSET:
        msg = f"{path} has opset {opset}; expected {_OPSET}"
        raise UsageError(msg)
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        msg = f"{path} has weights in another file; expected them inside"
        raise UsageError(msg)
    for values, specs in ((model.graph.input, manifest.inputs), (model.graph.output, manifest.outputs)):
        if [value.name for value in values] != [spec.name for spec in specs]:
            given, wanted = [value.name for value in values], [spec.name for spec in specs]
            msg = f"{path} has {', '.join(given)}; the manifest says {', '.join(wanted)}"
            raise UsageError(msg)
        for value in values:
            if not value.type.tensor_type.shape.dim[0].dim_param:
                msg = f"{path}: the batch of {value.name} is fixed; expected a dynamic one"
                raise UsageError(msg)
    return model


def make(released: Path, manifest: Released, target: Path) -> None:
    """Writes the released model without what only its exporter knows, and converting pixels first.

    Raises UsageError as `check` does.
    """
    model = check(released, manifest)
    _convert_first(model.graph, manifest.inputs[0].name)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def pixels_in(graph: Any, source: str) -> tuple[Any, Any]:
    """The nodes that turn the input into float and into channels first, or None where there is no such node."""
    first = [node for node in graph.node if source in node.input and node.op_type in {"Cast", "Transpose"}]
    if len(first) != 1:
        return None, None
    second = [node for node in graph.node if first[0].output[0] in node.input]
    pair = {node.op_type: node for node in (first[0], *second)}
    return pair.get("Cast"), pair.get("Transpose")


def _convert_first(graph: Any, source: str) -> None:
    """Swaps a Transpose of bytes with the Cast after it: TensorRT reads bytes only where they enter."""
    cast, transpose = pixels_in(graph, source)
    if cast is None or transpose is None or cast.input[0] == source:
        return
    between, last = transpose.output[0], cast.output[0]
    cast.input[0], cast.output[0] = source, between
    transpose.input[0], transpose.output[0] = between, last
    at = list(graph.node).index(transpose)
    graph.node.remove(cast)
    graph.node.insert(at, cast)

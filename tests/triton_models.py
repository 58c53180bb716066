"""Small models in Triton's model repository."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from offline.triton.repository import SERVED_MODEL

_TYPES = {
    onnx.TensorProto.FLOAT: pb.TYPE_FP32,
    onnx.TensorProto.UINT8: pb.TYPE_UINT8,
    onnx.TensorProto.INT64: pb.TYPE_INT64,
}


def serve_graph(build: Callable[[Path], Path], repository: Path) -> None:
    """Puts a graph that is no release, with any inputs, into the repository, without Triton's own batch axis."""
    home = repository / build.__name__
    graph = onnx.load(build(home / "1" / "model.onnx")).graph
    config = pb.ModelConfig(
        name=build.__name__,
        backend="python",
        input=[pb.ModelInput(name=each.name, **_tensor(each)) for each in graph.input],
        output=[pb.ModelOutput(name=each.name, **_tensor(each)) for each in graph.output],
        instance_group=[pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=1)],
        parameters={"threads": pb.ModelParameter(string_value="1")},
    )
    shutil.copyfile(SERVED_MODEL, home / "1" / "model.py")
    (home / "config.pbtxt").write_text(text_format.MessageToString(config))


def _tensor(info: onnx.ValueInfoProto) -> dict:
    tensor = info.type.tensor_type
    return {"data_type": _TYPES[tensor.elem_type], "dims": [side.dim_value or -1 for side in tensor.shape.dim]}

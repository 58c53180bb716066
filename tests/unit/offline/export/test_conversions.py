"""Each conversion by itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from offline.export import runtimes, to_int8, to_ncnn, to_onnx, to_tensorrt
from offline.export.errors import ExportError, UsageError
from offline.export.to_tensorrt import EngineOptions
from shiwu.inference.manifest import TensorSpec
from tests.unit.offline.export import tiny

SQUARES = np.random.default_rng(0).integers(0, 256, (3, tiny.SIZE, tiny.SIZE, 3), np.uint8)


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_onnx_converts_pixels_first_and_computes_the_same(tmp_path: Path) -> None:
    manifest = tiny.detector(tmp_path)
    to_onnx.make(tmp_path / "model.onnx", manifest, tmp_path / "made.onnx")
    assert kinds(tmp_path / "model.onnx")[:2] == ["Transpose", "Cast"]
    assert kinds(tmp_path / "made.onnx")[:2] == ["Cast", "Transpose"]
    wanted, given = (
        runtimes.onnx_runtime(tmp_path, (name,), manifest)(SQUARES) for name in ("model.onnx", "made.onnx")
    )
    assert all((wanted[name] == given[name]).all() for name in ("scores", "deltas"))
    # What is so already stays so.
    to_onnx.make(tmp_path / "made.onnx", manifest, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "made.onnx").read_bytes()


def _old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 19


def _fixed_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def _other_name(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "vector"


def _cyclic(model: onnx.ModelProto) -> None:
    model.graph.node.reverse()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_old_opset, "has opset 19; expected 18"),
        (_fixed_batch, "the batch of image is fixed"),
        (_other_name, "has vector; the manifest says embedding"),
        (_cyclic, "is not valid ONNX"),
    ],
)
def test_onnx_refuses_what_is_not_as_released(spoil, words: str, tmp_path: Path) -> None:
    manifest = tiny.embedder(tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    spoil(model)
    onnx.save(model, tmp_path / "spoilt.onnx")
    with pytest.raises(UsageError, match=words):
        to_onnx.check(tmp_path / "spoilt.onnx", manifest)


def test_onnx_refuses_weights_elsewhere(tmp_path: Path) -> None:
    manifest = tiny.embedder(tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(UsageError, match=r"weights in another file|not valid ONNX"):
        to_onnx.check(tmp_path / "split.onnx", manifest)


def test_int8_leaves_first_and_last_nodes_in_float(tmp_path: Path) -> None:
    tiny.embedder(tmp_path)
    graph = onnx.load(tmp_path / "model.onnx").graph
    left = to_int8.sensitive(graph)
    by_name = {node.name: node.op_type for node in graph.node}
    convs = [node.name for node in graph.node if node.op_type == "Conv"]
    assert convs[0] in left
    assert not set(left) & set(convs[1:])
    assert {"ReduceSum", "Gemm", "ReduceL2", "Expand"} <= {by_name[name] for name in left}


def test_int8_leaves_the_convolutions_at_half_the_size_of_each_trunk_in_float() -> None:
    g = tiny.Graph()
    picture = g.add("Transpose", g.add("Cast", "image", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    ends = []
    for _ in range(2):
        x = picture
        for channels, stride in ((3, 2), (4, 1), (4, 2), (4, 1)):
            x = g.conv(x, channels, 4, 3, stride)
        ends.append(x)
    g.add("Concat", *ends, axis=1)
    g.rename("out")
    graph = g.model((TensorSpec(name="out", dtype="float32", shape=("batch", 8, 8, 8)),)).graph
    convs = [node.name for node in graph.node if node.op_type == "Conv"]
    assert [name in to_int8.sensitive(graph) for name in convs] == [True, True, False, False] * 2


def test_int8_for_tensorrt_is_symmetric_with_float_biases(tmp_path: Path) -> None:
    tiny.embedder(tmp_path)
    to_int8.for_tensorrt(tmp_path / "model.onnx", tmp_path / "int8.onnx", SQUARES)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    points = [constants[n.input[2]] for n in graph.node if n.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert points
    assert all(point.dtype == np.int8 and not point.any() for point in points)
    assert not any(value.dtype == np.int32 for value in constants.values())
    # A convolution's result goes on in float; only what a convolution reads is quantised.
    quantised = {n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    assert not quantised & {n.output[0] for n in graph.node if n.op_type == "Conv"}


def test_half_keeps_inputs_and_outputs(tmp_path: Path) -> None:
    manifest = tiny.detector(tmp_path)
    to_tensorrt.half(tmp_path / "model.onnx", tmp_path / "half.onnx")
    model = onnx.load(tmp_path / "half.onnx")
    assert [value.type.tensor_type.elem_type for value in model.graph.output] == [TensorProto.FLOAT] * 2
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    assert {tensor.data_type for tensor in weights} == {TensorProto.FLOAT16}
    wanted, given = (
        runtimes.onnx_runtime(tmp_path, (name,), manifest)(SQUARES) for name in ("model.onnx", "half.onnx")
    )
    np.testing.assert_allclose(given["scores"], wanted["scores"], atol=0.01)


def test_ncnn_names_what_pnnx_cannot_convert(tmp_path: Path) -> None:
    manifest = tiny.embedder(tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    # A maximum over channels, in opset 18, is no pooling.
    at = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Clip")
    first = model.graph.node[at]
    reduced = helper.make_node("ReduceMax", [first.output[0], "channels"], ["most"], keepdims=1)
    scaled = helper.make_node("Sub", [first.output[0], "most"], ["scaled"])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "channels"))
    for node in list(model.graph.node)[at + 1 :]:
        if node.input[0] == first.output[0]:
            node.input[0] = "scaled"
    model.graph.node.insert(at + 1, reduced)
    model.graph.node.insert(at + 2, scaled)
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ExportError, match=r"pnnx does not convert odd\.onnx: .*ReduceMax"):
        to_ncnn.make(tmp_path / "odd.onnx", manifest, tmp_path / "odd.param", tmp_path / "odd.bin")


class TestAheadOfTime:
    """TensorRT-RTX, which builds without a GPU."""

    @pytest.fixture(autouse=True)
    def _rtx(self) -> None:
        if importlib.util.find_spec("tensorrt") is not None:
            pytest.skip("TensorRT itself is installed")
        pytest.importorskip("tensorrt_rtx", reason="the extra `tensorrt` is not installed")

    def build(self, folder: Path, name: str) -> bytes:
        manifest = tiny.embedder(folder)
        to_onnx.make(folder / "model.onnx", manifest, folder / "float.onnx")
        to_tensorrt.half(folder / "float.onnx", folder / "half.onnx")
        to_int8.for_tensorrt(folder / "float.onnx", folder / "int8.onnx", SQUARES)
        to_int8.for_cpu(folder / "float.onnx", folder / "cpu.onnx", SQUARES)
        to_tensorrt.build(folder / name, folder / "engine", manifest, EngineOptions(), folder / "cache")
        return (folder / "engine").read_bytes()

    @pytest.mark.parametrize("name", ["float.onnx", "half.onnx", "int8.onnx"])
    def test_reads_what_is_made_for_it(self, name: str, tmp_path: Path) -> None:
        assert len(self.build(tmp_path, name)) > 1000

    @pytest.mark.parametrize("name", ["model.onnx", "cpu.onnx"])
    def test_says_why_it_does_not_read_another(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match=rf"TensorRT .* does not read {name}: "):
            self.build(tmp_path, name)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (EngineOptions(capability="SM1"), "capability SM1 is unknown; .* SM89"),
            (EngineOptions(batches=(4, 2, 8)), "batches 4,2,8; expected"),
            (EngineOptions(version_compatible=True), "no version-compatible engines"),
        ],
    )
    def test_refuses_options(self, options: EngineOptions, words: str) -> None:
        with pytest.raises(UsageError, match=words):
            to_tensorrt.check_options(options)

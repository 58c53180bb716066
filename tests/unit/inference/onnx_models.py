"""Small real ONNX models, and releases of them, made on the spot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save_model

from shiwu.inference.manifest import (
    Anchors,
    DetectorManifest,
    EmbedderManifest,
    Preprocessing,
    TensorSpec,
    write_manifest,
)

SIDE = 32
"""Pixels of the square that the small embedder and detector read."""
LABELS = ("shoes", "bags", "food")
"""What the small detector calls red, green and blue."""


def save(path: Path, nodes: Sequence, inputs: Sequence, outputs: Sequence, constants: dict | None = None) -> Path:
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "small", list(inputs), list(outputs), held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path)
    return path


def of(name: str, kind: int, shape: Sequence) -> object:
    return helper.make_tensor_value_info(name, kind, shape)


def arithmetic(path: Path) -> Path:
    """a (batch, 3) float32 and b (batch,) uint8 -> sum (batch, 3) = a + b, product (batch, 3) = a * b."""
    return save(
        path,
        [
            helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["c", "last"], ["d"]),
            helper.make_node("Add", ["a", "d"], ["sum"]),
            helper.make_node("Mul", ["a", "d"], ["product"]),
        ],
        [of("a", TensorProto.FLOAT, ["batch", 3]), of("b", TensorProto.UINT8, ["batch"])],
        [of("sum", TensorProto.FLOAT, ["batch", 3]), of("product", TensorProto.FLOAT, ["batch", 3])],
        {"last": np.array([1], np.int64)},
    )


def slow(path: Path, rounds: int = 60) -> Path:
    """x (batch, 400) -> y (batch, 400): products with a matrix, one after the other; about rounds/10 ms a 400-batch."""
    names = ["x", *(f"x{i}" for i in range(1, rounds)), "y"]
    nodes = [helper.make_node("MatMul", [a, "m"], [b]) for a, b in pairwise(names)]
    shape = ["batch", 400]
    inputs, outputs = [of("x", TensorProto.FLOAT, shape)], [of("y", TensorProto.FLOAT, shape)]
    return save(path, nodes, inputs, outputs, {"m": np.eye(400, dtype=np.float32) * 0.999})


def gather(path: Path) -> Path:
    """index (batch,) int64 -> value (batch,) float32: fails when it runs with an index over 3."""
    return save(
        path,
        [helper.make_node("Gather", ["table", "index"], ["value"])],
        [of("index", TensorProto.INT64, ["batch"])],
        [of("value", TensorProto.FLOAT, ["batch"])],
        {"table": np.arange(4, dtype=np.float32)},
    )


def release_embedder(
    directory: Path, name: str = "embedder-small", *, categories: tuple[str, ...] = (), margin: float = 0.1
) -> EmbedderManifest:
    """Released into `directory`: the vector is the mean colour, of unit length. A black picture gives 0 / 0 = NaN."""
    image, batch = of("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3]), ["batch", 3]
    path = save(
        directory / "model.onnx",
        [
            helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
            helper.make_node("ReduceL2", ["mean", "last"], ["length"], keepdims=1),
            helper.make_node("Div", ["mean", "length"], ["embedding"]),
        ],
        [image],
        [of("embedding", TensorProto.FLOAT, batch)],
        {"axes": np.array([1, 2], np.int64), "last": np.array([1], np.int64)},
    )
    manifest = EmbedderManifest(
        name=name,
        version="1",
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", SIDE, SIDE, 3)),),
        outputs=(TensorSpec(name="embedding", dtype="float32", shape=("batch", 3)),),
        preprocessing=Preprocessing(size=SIDE, fit="stretch", margin=margin),
        task="embedding",
        dimension=3,
        categories=categories,
    )
    write_manifest(manifest, directory)
    return manifest


def release_detector(directory: Path, name: str = "detector-small") -> DetectorManifest:
    """Released into `directory`: four anchors, the quarters of the square; the scores are their mean colours.

    A black picture gives 0 / 0 = NaN.
    """
    path = save(
        directory / "model.onnx",
        [
            helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["x", "blocks"], ["y"]),
            helper.make_node("ReduceMean", ["y", "axes"], ["quarters"], keepdims=0),
            helper.make_node("Reshape", ["quarters", "heads"], ["colours"]),
            helper.make_node("Div", ["colours", "white"], ["scores"]),
            helper.make_node("ReduceSum", ["scores", "rest"], ["total"], keepdims=1),
            helper.make_node("Mul", ["total", "nothing"], ["zero"]),
            helper.make_node("Div", ["zero", "total"], ["deltas"]),
        ],
        [of("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [of("scores", TensorProto.FLOAT, ["batch", 4, 3]), of("deltas", TensorProto.FLOAT, ["batch", 4, 4])],
        {
            "blocks": np.array([-1, 2, SIDE // 2, 2, SIDE // 2, 3], np.int64),
            "axes": np.array([2, 4], np.int64),
            "heads": np.array([-1, 4, 3], np.int64),
            "white": np.float32(255),
            "rest": np.array([1, 2], np.int64),
            "nothing": np.zeros((1, 4, 4), np.float32),
        },
    )
    manifest = DetectorManifest(
        name=name,
        version="1",
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", SIDE, SIDE, 3)),),
        outputs=(
            TensorSpec(name="scores", dtype="float32", shape=("batch", 4, 3)),
            TensorSpec(name="deltas", dtype="float32", shape=("batch", 4, 4)),
        ),
        preprocessing=Preprocessing(size=SIDE, fit="letterbox", fill=0),
        task="detection",
        labels=LABELS,
        anchors=Anchors(strides=(SIDE // 2,), sizes=(SIDE / 2,), scales=(1.0,), ratios=(1.0,)),
        min_score=0.3,
        nms_iou=0.5,
    )
    write_manifest(manifest, directory)
    return manifest

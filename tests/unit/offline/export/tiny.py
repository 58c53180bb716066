"""Released models and image sets small enough to export in a second, with the operators of the real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from offline.training.release import file_sha256
from shiwu.inference.manifest import (
    Anchors,
    DetectorManifest,
    EmbedderManifest,
    Preprocessing,
    TensorSpec,
    write_manifest,
)

SIZE = 32
_PREPROCESSING = Preprocessing(size=SIZE, fit="letterbox", fill=127, margin=0.0)
_IMAGE = TensorSpec(name="image", dtype="uint8", shape=("batch", SIZE, SIZE, 3))


class Graph:
    """An ONNX graph in the making: nodes named after their results, random weights."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(3)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        result = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [result], f"node_{result}", **attributes))
        return result

    def rename(self, result: str) -> None:
        """Gives the latest result the name of an output."""
        self._nodes[-1].output[0] = result

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def conv(self, x: str, channels: int, out: int, kernel: int, stride: int) -> str:
        scale = np.sqrt(2 / (channels * kernel**2))
        weight = self.constant(self._rng.normal(0, scale, (out, channels, kernel, kernel)))
        bias = self.constant(self._rng.normal(0, 0.2, out))
        return self.add(
            "Conv", x, weight, bias, strides=[stride] * 2, pads=[kernel // 2] * 4, kernel_shape=[kernel] * 2
        )

    def features(self) -> str:
        """(batch, 16, 4, 4), from bytes, by convolutions with ReLU6."""
        x = self.add("Cast", self.add("Transpose", "image", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
        half = self.constant(127.5)
        x = self.add("Div", self.add("Sub", x, half), half)
        for channels, out in ((3, 8), (8, 12), (12, 16)):
            x = self.add("Clip", self.conv(x, channels, out, 3, 2), self.constant(0.0), self.constant(6.0))
        return x

    def dense(self, x: str, width: int, out: int) -> str:
        weight = self.constant(self._rng.normal(0, width**-0.5, (out, width)))
        return self.add("Gemm", x, weight, self.constant(np.zeros(out)), transB=1)

    def model(self, outputs: tuple[TensorSpec, ...], opset: int = 18) -> Any:
        inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, _IMAGE.shape)]
        given = [helper.make_tensor_value_info(o.name, TensorProto.FLOAT, o.shape) for o in outputs]
        graph = helper.make_graph(self._nodes, "tiny", inputs, given, self._constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def embedder(folder: Path) -> EmbedderManifest:
    """Releases an embedder into `folder`: features, a sum over places, projection, norm."""
    g = Graph()
    batch = g.add("Shape", "image", start=0, end=1)
    x = g.add("Reshape", g.features(), g.constant([0, 16, 16], np.int64))
    x = g.add("ReduceSum", g.add("Mul", x, g.constant(np.full(16, 1 / 16))), g.constant([2], np.int64), keepdims=0)
    x = g.dense(x, 16, 8)
    norm = g.add("Clip", g.add("ReduceL2", x, g.constant([1], np.int64), keepdims=1), g.constant(1e-12))
    shape = g.add("Concat", batch, g.constant([8], np.int64), axis=0)
    g.add("Div", x, g.add("Expand", norm, shape))
    g.rename("embedding")
    outputs = (TensorSpec(name="embedding", dtype="float32", shape=("batch", 8)),)
    return _released(folder, g.model(outputs), outputs)


def detector(folder: Path) -> DetectorManifest:
    """Releases a detector with one level of 16 anchors and two labels into `folder`."""
    g = Graph()
    x = g.features()
    labels = _per_anchor(g, g.conv(x, 16, 2, 3, 1), 2)
    deltas = _per_anchor(g, g.conv(x, 16, 4, 3, 1), 4)
    best = g.add("ReduceMax", labels, g.constant([2], np.int64), keepdims=1)
    g.add("Mul", g.add("Sigmoid", best), g.add("Exp", g.add("Sub", labels, best)))
    g.rename("scores")
    g.add("Mul", deltas, g.constant(0.2))
    g.rename("deltas")
    scores = TensorSpec(name="scores", dtype="float32", shape=("batch", 16, 2))
    outputs = (scores, TensorSpec(name="deltas", dtype="float32", shape=("batch", 16, 4)))
    return _released(folder, g.model(outputs), outputs)


def _per_anchor(g: Graph, x: str, width: int) -> str:
    return g.add("Reshape", g.add("Transpose", x, perm=[0, 2, 3, 1]), g.constant([0, 16, width], np.int64))


def _released(folder: Path, model: Any, outputs: tuple[TensorSpec, ...]) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.checker.check_model(model, full_check=True)
    path = folder / "model.onnx"
    onnx.save(model, path)
    shared = {
        "name": "tiny",
        "version": "1",
        "file": path.name,
        "sha256": file_sha256(path),
        "inputs": (_IMAGE,),
        "outputs": outputs,
        "preprocessing": _PREPROCESSING,
    }
    manifest: EmbedderManifest | DetectorManifest
    if len(outputs) == 1:
        manifest = EmbedderManifest(**shared, task="embedding", dimension=8)
    else:
        grid = Anchors(strides=(8,), sizes=(12.0,), scales=(1.0,), ratios=(1.0,))
        manifest = DetectorManifest(
            **shared, task="detection", labels=("a", "b"), anchors=grid, min_score=0.3, nms_iou=0.5
        )
    write_manifest(manifest, folder)
    return manifest


def pixels(seed: int) -> NDArray[np.uint8]:
    """A picture with a coloured ground and coloured blocks, (40, 48, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((40, 48, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(4):
        (x, y), color = rng.integers(0, 30, 2), rng.integers(0, 256, 3)
        image[y : y + 14, x : x + 16] = color
    return image


def data(folder: Path) -> Path:
    """Writes two image sets: shop pictures and photos of 10 products, and photos with drawn boxes."""
    rows = []
    for product in range(10):
        for role, count in (("merchant", 1), ("photo", 3)):
            rows += [{"role": role, "product_id": f"p{product}", "style_id": f"s{product}"}] * count
    _image_set(folder / "grocery", rows, 0)
    _image_set(folder / "coco128", [{"boxes": [[4, 4, 30, 36, "cup"]]}] * 12, 100)
    return folder


def _image_set(folder: Path, rows: list[dict[str, Any]], seed: int) -> None:
    folder.mkdir(parents=True)
    keys = ("role", "product_id", "style_id", "category", "label", "title", "price", "currency", "split", "boxes")
    lines = []
    for i, row in enumerate(rows):
        cv2.imwrite(str(folder / f"{i:03}.png"), pixels(seed + i))
        lines.append(json.dumps(dict.fromkeys(keys) | {"image": f"{i:03}.png", "role": "photo", "split": "val"} | row))
    (folder / "items.jsonl").write_text("\n".join(lines), encoding="utf-8")

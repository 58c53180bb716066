"""From a trained network to a released model: ONNX file and manifest."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import torch

from offline.training.detector.both import BothHeads
from offline.training.detector.config import Model
from offline.training.detector.layout import layout_of
from offline.training.detector.model import Detector
from shiwu.categories import CATEGORIES
from shiwu.inference.manifest import (
    Anchors,
    Corners,
    DetectorManifest,
    Points,
    Preprocessing,
    TensorSpec,
    write_manifest,
)
from shiwu.vision.anchors import AnchorGrid
from shiwu.vision.points import PointGrid

FILE: Final = "model.onnx"
OPSET: Final = 18
_TOLERANCE: Final = 1e-3


def export(model: Detector | BothHeads, path: Path, size: int) -> None:
    """Writes the network as one ONNX file with a dynamic batch and checks it against torch.

    Raises RuntimeError when ONNX Runtime's answers differ.
    """
    model = model.eval()
    example = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=["image"],
            output_names=["scores", "deltas"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
            external_data=False,
            verbose=False,
        )
    difference = parity(model, path, example.numpy()[:1].repeat(3, 0))
    if difference > _TOLERANCE:
        msg = f"{path} differs from the network by {difference:.2g}"
        raise RuntimeError(msg)


def parity(model: Detector | BothHeads, path: Path, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    """Largest difference between the file's and the network's outputs for the images."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = session.run(["scores", "deltas"], {"image": images})
    with torch.no_grad():
        wanted = model(torch.from_numpy(images))
    return max(float(np.abs(a - w.numpy()).max()) for a, w in zip(answers, wanted, strict=True))


def release(
    model: Detector | BothHeads, recipe: Model, folder: Path, version: str, min_score: float, nms_iou: float
) -> DetectorManifest:
    """Writes the model and its manifest into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    size, layout = recipe.size, layout_of(recipe)
    export(model, path, size)
    with torch.no_grad():
        answers = model(torch.zeros(1, size, size, 3, dtype=torch.uint8))[0].shape[1]
    decodes = isinstance(model, BothHeads)
    manifest = DetectorManifest(
        name="detector-ssdlite" if decodes else "detector-lite0",
        version=version,
        file=FILE,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", size, size, 3)),),
        outputs=(
            TensorSpec(name="scores", dtype="float32", shape=("batch", answers, len(CATEGORIES))),
            TensorSpec(name="deltas", dtype="float32", shape=("batch", answers, 4)),
        ),
        preprocessing=Preprocessing(size=size, fit=recipe.fit, fill=127, margin=0.0),
        task="detection",
        labels=CATEGORIES,
        corners=Corners(count=answers) if decodes else None,
        anchors=Anchors.of(layout) if isinstance(layout, AnchorGrid) and not decodes else None,
        points=Points(strides=layout.strides) if isinstance(layout, PointGrid) and not decodes else None,
        min_score=min_score,
        nms_iou=nms_iou,
    )
    write_manifest(manifest, folder)
    return manifest

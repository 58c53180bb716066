"""Releasing a trained network: ONNX file, check against torch, manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shiwu.inference.manifest import EmbedderManifest, Preprocessing, TensorSpec, write_manifest

_OPSET = 18
_TOLERANCE = 1e-3
_FILE = "model.onnx"


def fold_batch_norms(module: nn.Module) -> None:
    """Merges every batch norm of a Sequential into the convolution before it, in place; for inference only."""
    for sequence in [m for m in module.modules() if isinstance(m, nn.Sequential)]:
        for i in range(len(sequence) - 1):
            conv, norm = sequence[i], sequence[i + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                sequence[i] = fuse_conv_bn_eval(conv.eval(), norm.eval())
                sequence[i + 1] = nn.Identity()


def export_onnx(module: nn.Module, size: int, output_names: list[str], path: Path) -> float:
    """Writes the module, which reads uint8 (batch, size, size, 3), as ONNX with the weights inside.

    Returns the largest difference between torch and ONNX Runtime on random images. Raises ValueError when it exceeds
    0.001.
    """
    module = module.eval()
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8))
    program = torch.onnx.export(
        module,
        (images[:2],),
        input_names=["image"],
        output_names=output_names,
        opset_version=_OPSET,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        msg = f"nothing was exported to {path}"
        raise ValueError(msg)
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(path, external_data=False)
    difference = parity(module, path, images)
    if difference > _TOLERANCE:
        msg = f"{path} differs from torch by {difference:.2g}"
        raise ValueError(msg)
    return difference


def release_embedder(
    module: nn.Module, name: str, version: str, preprocessing: Preprocessing, dimension: int, out: Path
) -> float:
    """Writes an embedder's ONNX file and manifest; returns how far ONNX Runtime is from torch.

    The module reads uint8 (batch, size, size, 3) and gives unit vectors (batch, dimension). Raises ValueError as
    `export_onnx` does.
    """
    size = preprocessing.size
    difference = export_onnx(module, size, ["embedding"], out / _FILE)
    manifest = EmbedderManifest(
        task="embedding",
        name=name,
        version=version,
        file=_FILE,
        sha256=file_sha256(out / _FILE),
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", size, size, 3)),),
        outputs=(TensorSpec(name="embedding", dtype="float32", shape=("batch", dimension)),),
        preprocessing=preprocessing,
        dimension=dimension,
    )
    write_manifest(manifest, out)
    return difference


def parity(module: nn.Module, path: Path, images: Tensor) -> float:
    """The largest absolute difference between the module's outputs and the ONNX file's on `images`."""
    with torch.inference_mode():
        expected = module(images)
    outputs = (expected,) if isinstance(expected, Tensor) else tuple(expected)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.run(None, {"image": images.numpy()})
    return max(float(np.abs(np.asarray(g) - e.numpy()).max()) for g, e in zip(given, outputs, strict=True))


def file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

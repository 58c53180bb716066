"""Running released models: the manifest, the `ModelRunner` port and its adapters."""

from shiwu.inference.manifest import (
    DetectorManifest,
    EmbedderManifest,
    ManifestError,
    read_manifest,
    write_manifest,
)
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from shiwu.inference.runner import ModelError, ModelRunner, TensorError, Tensors

__all__ = [
    "DetectorManifest",
    "EmbedderManifest",
    "ManifestError",
    "ModelError",
    "ModelRunner",
    "RunnerOptions",
    "TensorError",
    "Tensors",
    "open_model",
    "read_manifest",
    "write_manifest",
]

"""Writes models into Triton's model repository: NAME/config.pbtxt, NAME/VERSION/FILE."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from offline.triton.config import FILES, Platform, config_text, platform_of
from offline.triton.policy import ServingPolicy
from shiwu.inference.manifest import DetectorManifest, EmbedderManifest, read_manifest

SERVED_MODEL: Final = Path(__file__).with_name("served_model.py")
"""What Triton's python backend runs."""
Precision = Literal["float32", "float16", "int8"]
_ENGINES: Final = {
    "float32": ("engine of onnx", "model.engine"),
    "float16": ("engine of fp16", "model.fp16.engine"),
    "int8": ("engine of int8-trt", "model.int8-trt.engine"),
}
"""Of each precision the part and file that `python -m offline.export` makes on a GPU box (see docs/export.md)."""


class RepositoryError(ValueError):
    """A model cannot be served as asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Engines:
    """Where the TensorRT engines lie."""

    exported: Path
    """The folder with one of `offline.export`'s folders for each model."""
    precision: Precision = "float16"


def write_model(release: Path, repository: Path, platform: Platform, policy: ServingPolicy, engines: Engines) -> Path:
    """Puts a released model into the repository beside its earlier versions, and returns the version's folder.

    The version is complete as soon as it is there, so a Triton that polls the repository can be running.
    Raises ManifestError for a folder that is no release, RepositoryError.
    """
    manifest = read_manifest(release)
    version = _number(manifest)
    model = _engine(manifest, engines, policy) if platform == "tensorrt_plan" else release / manifest.file
    home = repository / manifest.name
    home.mkdir(parents=True, exist_ok=True)
    config = home / "config.pbtxt"
    if config.exists() and (other := platform_of(config.read_text(encoding="utf-8"))) != platform:
        msg = f"{home} holds versions for {other}; give {platform} an --out of its own"
        raise RepositoryError(msg)
    (home / "config.pbtxt.part").write_text(config_text(manifest, platform, policy), encoding="utf-8")
    (home / "config.pbtxt.part").replace(config)
    # Not inside the repository, where Triton would take it for a model.
    with tempfile.TemporaryDirectory(dir=repository.parent, prefix=".unfinished-") as name:
        unfinished = Path(name, version)
        unfinished.mkdir()
        if platform == "python":
            shutil.copyfile(SERVED_MODEL, unfinished / FILES[platform])
            shutil.copyfile(model, unfinished / "model.onnx")
        else:
            shutil.copyfile(model, unfinished / FILES[platform])
        if (home / version).exists():
            shutil.rmtree(home / version)
        return unfinished.rename(home / version)


def _number(manifest: DetectorManifest | EmbedderManifest) -> str:
    if not manifest.version.isdecimal() or manifest.version.startswith("0"):
        msg = f"{manifest.id}: Triton serves versions 1, 2, 3 and so on; release the model with such a version"
        raise RepositoryError(msg)
    return manifest.version


def _engine(manifest: DetectorManifest | EmbedderManifest, engines: Engines, policy: ServingPolicy) -> Path:
    """The engine of just this release, untouched since its export, that takes the largest batch."""
    part, file = _ENGINES[engines.precision]
    folder = engines.exported / manifest.name
    ledger, engine = folder / "export.json", folder / file
    make = f"make it on the GPU box: python -m offline.export models/{manifest.name} --to tensorrt --data DATA"
    entry = json.loads(ledger.read_text(encoding="utf-8"))["parts"].get(part) if ledger.exists() else None
    if entry is None or file not in entry["files"] or not engine.exists():
        msg = f"{manifest.id}: there is no {engine}; {make}"
        raise RepositoryError(msg)
    if entry["source"] != manifest.sha256 or entry["files"][file] != _sha256(engine):
        msg = f"{manifest.id}: {engine} was made from another release, or changed since; {make}"
        raise RepositoryError(msg)
    largest = entry["settings"]["batches"][2]
    if largest < policy.max_batch:
        msg = f"{manifest.id}: {engine} takes batches of up to {largest}, the policy's max_batch is {policy.max_batch}"
        raise RepositoryError(msg)
    return engine


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

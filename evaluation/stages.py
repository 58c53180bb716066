"""The stages of a scan in one process: the services' own domain code without the mesh between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.detector.detection import Detector
from services.embedder.embedding import Embedder
from services.gateway import cropping
from services.gateway.answer import Rules
from services.gateway.pictures import cropped, prepared
from services.gateway.ports import Box, Detected, Detection, EmbedderModel, Vector
from shiwu.inference.manifest import DetectorManifest, EmbedderManifest, read_manifest
from shiwu.inference.opening import open_model
from shiwu.vision.decode import Limits, decode
from shiwu.vision.resize import Image

_DECODE_SIDE = 640
_DETECTOR_SIZE = 320


class LocalDetector:
    """The gateway's Detector port on the detector's domain code."""

    def __init__(self, directory: Path) -> None:
        manifest = read_manifest(directory)
        if not isinstance(manifest, DetectorManifest):
            msg = f"{directory} holds no detector"
            raise TypeError(msg)
        self._detector = Detector(manifest, open_model(directory))
        self._labels = manifest.labels

    async def detect(self, photo: Image, *, seconds: float) -> Detection:
        found = await self._detector.detect(photo)
        objects = []
        for box, scores in zip(found.boxes.tolist(), found.scores.tolist(), strict=True):
            categories = sorted(zip(self._labels, scores, strict=True), key=lambda pair: -pair[1])
            objects.append(Detected(Box(*box), max(scores), categories))
        return Detection(objects, self._detector.manifest.id)


class LocalEmbedder:
    """The gateway's Embedder port on the embedder's domain code."""

    def __init__(self, directory: Path) -> None:
        manifest = read_manifest(directory)
        if not isinstance(manifest, EmbedderManifest):
            msg = f"{directory} holds no embedder"
            raise TypeError(msg)
        self.manifest = manifest
        self._embedder = Embedder(manifest, open_model(directory))
        how = manifest.preprocessing
        self.model = EmbedderModel(manifest.id, manifest.dimension, frozenset(), how.margin, how.size)

    async def models(self, *, seconds: float) -> Sequence[EmbedderModel]:
        return [self.model]

    async def embed(self, crop: Image, model: EmbedderModel, *, seconds: float) -> Vector:
        vectors = await self._embedder.embed([self._embedder.fit(crop)])
        vector: Vector = vectors[0]
        return vector


@dataclass(frozen=True)
class View:
    """What a scan makes of a picture before it searches. categories: the main object's, highest first."""

    categories: Sequence[tuple[str, float]]
    vector: Vector


class Stages:
    """Decode, detect, crop and embed, as the gateway does it."""

    def __init__(self, detector: Path, embedder: Path) -> None:
        self.detector = LocalDetector(detector)
        self.embedder = LocalEmbedder(embedder)

    async def see(self, data: bytes) -> View:
        """The view of a picture's file."""
        picture = prepared(decode(data, Limits(), _DECODE_SIDE).pixels, _DETECTOR_SIZE)
        detection = await self.detector.detect(picture.small, seconds=60)
        rules = Rules()
        choice = cropping.choose(detection.objects, None, focus_iou=rules.focus_iou, centre_share=rules.centre_share)
        model = self.embedder.model
        crop = cropped(picture.pixels, choice.box, margin=model.crop_margin, size=model.input_size)
        vector = await self.embedder.embed(crop, model, seconds=60)
        return View(choice.main.categories if choice.main else (), vector)

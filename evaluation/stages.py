"""The stages of a scan in one process: the services' own domain code without the mesh between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from services.catalog.comparing import agreements
from services.catalog.resources import Article, Description
from services.catalog.sql import SqlStore
from services.classifier.voting import Neighbour, vote
from services.detector.detection import Detector
from services.embedder.embedding import Embedder
from services.gateway import cropping
from services.gateway.answer import Rules
from services.gateway.pictures import Picture, cropped, prepared
from services.gateway.ports import (
    Box,
    Detected,
    Detection,
    EmbedderModel,
    Feedback,
    Gap,
    Hit,
    Scores,
    ShardHits,
    Share,
    Vector,
    Vote,
)
from services.gateway.regions import Region, regions
from services.search.index import ShardedIndex
from shiwu.inference.manifest import DetectorManifest, EmbedderManifest, read_manifest
from shiwu.inference.opening import open_model
from shiwu.inference.tuning import RegionKind, VoteRule
from shiwu.vision.agreement import Agreement
from shiwu.vision.decode import Limits, decode
from shiwu.vision.local_features import MOST_OF_PHOTO, LocalFeatures, describe, pack, unpack
from shiwu.vision.resize import Image, shrunk
from shiwu.wire import pictures as stocking
from shiwu.wire.models import EmbeddingModel, FoundObject

Facts = tuple[list[Description], list[Article]]

_DECODE_SIDE = 640
_DETECTOR_SIZE = 320


def read(data: bytes) -> Picture:
    """A picture's file as the gateway decodes it."""
    return prepared(decode(data, Limits(), _DECODE_SIDE).pixels, _DETECTOR_SIZE)


def turned(picture: Picture) -> Picture:
    """The picture as a phone held on its side would have made it, a quarter turn anticlockwise."""
    return prepared(np.ascontiguousarray(np.rot90(picture.pixels)), _DETECTOR_SIZE)


class LocalDetector:
    """The gateway's Detector port on the detector's domain code."""

    def __init__(self, directory: Path) -> None:
        manifest = read_manifest(directory)
        if not isinstance(manifest, DetectorManifest):
            msg = f"{directory} holds no detector"
            raise TypeError(msg)
        self._detector = Detector(manifest, open_model(directory))
        self._labels = manifest.labels
        self.id = manifest.id

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
        self.model = EmbedderModel(manifest.id, manifest.dimension, frozenset(), how.margin, how.wanted_side())
        self.gallery_side = how.wanted_side(gallery=True)

    async def models(self, *, seconds: float) -> Sequence[EmbedderModel]:
        return [self.model]

    async def embed(self, crops: Sequence[Image], model: EmbedderModel, *, seconds: float) -> Sequence[Vector]:
        return list(await self._embedder.embed([self._embedder.views(crop) for crop in crops]))

    async def embed_stock(self, crops: Sequence[Image]) -> Sequence[Vector]:
        """Vectors of merchants' pictures for a gallery."""
        return list(await self._embedder.embed([self._embedder.views(crop, gallery=True) for crop in crops]))


@dataclass(frozen=True)
class View:
    """What a scan makes of a picture before it searches. categories: the main object's, highest first."""

    categories: Sequence[tuple[str, float]]
    vector: Vector
    local_features: LocalFeatures


@dataclass(frozen=True)
class Look:
    """The parts of a picture that a scan may search for."""

    regions: Sequence[Region]
    """The one that it looks at first at the front."""
    vectors: NDArray[np.float32]
    """(n, dimension)."""

    def compared(self, part: int) -> list[int]:
        """Where this part is taken, those whose vectors pictures are compared with, and count by the nearer one."""
        return [0, part] if self.regions[part].kind == "middle" else [part]


@dataclass(frozen=True)
class Stocked:
    """A merchant's picture as the catalogue keeps it."""

    vector: Vector
    local_features: LocalFeatures


class Stages:
    """Decode, detect, crop and embed, as the gateway does it."""

    def __init__(self, detector: Path, embedder: Path) -> None:
        self.detector = LocalDetector(detector)
        self.embedder = LocalEmbedder(embedder)

    async def see(self, data: bytes) -> View:
        """The view of a picture's file."""
        picture = read(data)
        choice = await self.choose(picture)
        vectors = await self.embed(picture, [choice.box])
        categories = choice.main.categories if choice.main else ()
        return View(categories, vectors[0], self.describe(picture, choice.box))

    async def look(self, picture: Picture) -> Look:
        """All parts of a picture that a scan may search for."""
        parts = regions(await self.choose(picture), Rules().centre_share, get_args(RegionKind))
        return Look(parts, np.stack(await self.embed(picture, [each.box for each in parts])))

    async def choose(self, picture: Picture) -> cropping.Choice:
        """The box that a scan looks at first."""
        detection = await self.detector.detect(picture.small, seconds=60)
        rules = Rules()
        return cropping.choose(detection.objects, None, focus_iou=rules.focus_iou, centre_share=rules.centre_share)

    async def embed(self, picture: Picture, boxes: Sequence[Box]) -> Sequence[Vector]:
        """The vector of each box."""
        crops = [self._crop(picture, box) for box in boxes]
        return await self.embedder.embed(crops, self.embedder.model, seconds=60)

    def describe(self, picture: Picture, box: Box) -> LocalFeatures:
        """The local features of a box, which a scan compares with those of catalogue pictures."""
        return describe(self._crop(picture, box), MOST_OF_PHOTO)

    def _crop(self, picture: Picture, box: Box) -> Image:
        model = self.embedder.model
        return cropped(picture.pixels, box, margin=model.crop_margin, size=model.input_size)

    async def stock(self, data: bytes, category: str | None) -> Stocked:
        """A merchant's picture as the catalogue takes it in: cropped to the thing of the product's category."""
        picture = stocking.from_file(data, Limits())
        detection = await self.detector.detect(shrunk(picture.photo.pixels, _DETECTOR_SIZE), seconds=60)
        objects = [FoundObject(each.box, each.score, each.categories[0][0]) for each in detection.objects]
        how, side = self.embedder.model, self.embedder.gallery_side
        model = EmbeddingModel(how.id, tuple(how.categories), how.crop_margin, side, how.dimension)
        crop = stocking.crop_for(picture, stocking.main_product(objects, category or ""), model)
        [vector] = await self.embedder.embed_stock([crop])
        return Stocked(vector, unpack(pack(describe(crop))))


class LocalIndex:
    """The gateway's Index port on the search service's domain code."""

    def __init__(self, index: ShardedIndex) -> None:
        self._index = index

    async def search(
        self,
        vector: Vector,
        model: str,
        *,
        top_k: int,
        categories: Sequence[str],
        include_vectors: bool,
        seconds: float,
    ) -> Sequence[ShardHits]:
        answers = await self._index.search(
            model, vector, top_k=top_k, categories=categories, include_vectors=include_vectors
        )
        return [ShardHits(each.shard, each.hits, str(each.error or "")) for each in answers]


class LocalVoter:
    """The gateway's Voter port on the classifier's domain code."""

    def __init__(self, rule: VoteRule) -> None:
        self._rule = rule

    async def vote(self, detector: Scores, neighbours: Sequence[Hit], *, seconds: float) -> Vote:
        voters = [Neighbour(hit.image_id, hit.category, hit.similarity) for hit in neighbours]
        outcome = vote(detector, voters, self._rule)
        return Vote(outcome.categories, outcome.detector_share, [Share(*share) for share in outcome.shares])


class LocalCatalog:
    """The gateway's Catalog port on the catalogue's store; it keeps no gaps."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def describe(self, product_ids: Sequence[str], *, max_articles: int, seconds: float) -> Facts:
        return await self._store.describe(product_ids, max_articles=max_articles)

    async def compare(self, crop: Image, image_ids: Sequence[str], *, seconds: float) -> Mapping[str, Agreement]:
        return agreements(describe(crop, MOST_OF_PHOTO), await self._store.find_local_features(image_ids))

    async def record_gap(self, gap: Gap, *, seconds: float) -> None: ...

    async def record_feedback(self, feedback: Feedback, *, seconds: float) -> None: ...

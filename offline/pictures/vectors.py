"""Pictures to vectors, by the mesh's own detector and embedder, cropped as the catalogue crops them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from offline.jobs.settings import JobSettings
from offline.pictures.files import PictureFiles, UnreadableError
from offline.pictures.known_vectors import Key, Known, KnownVectors
from offline.pictures.sources import SCHEMA, Row
from shiwu.chassis.channel import connect
from shiwu.chassis.errors import InvalidInputError
from shiwu.chassis.settings import ClientSettings
from shiwu.vision.decode import ImageError, Limits
from shiwu.vision.local_features import describe, pack
from shiwu.vision.resize import Image
from shiwu.wire.fetching import FetchSettings
from shiwu.wire.models import EmbeddingModel, FoundObject, GrpcDetector, GrpcEmbedder, model_for
from shiwu.wire.pictures import Picture, crop_for, from_file, main_product

VECTORS: Final = pa.schema(
    [
        *SCHEMA,
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("seen", pa.string()),
        ("seen_score", pa.float32()),
        ("model", pa.string()),
        ("vector", pa.binary()),
        ("local_features", pa.binary()),
        ("problem", pa.string()),
    ]
)
"""`SCHEMA`, then of the file its digest and size, the detector's most likely category and its score, the vector
(little-endian float32, unit length) with its model's name@version, and the crop's local features, packed. A picture
with a `problem` has none of these."""
_BATCH: Final = 32
"""Crops of one call of the embedder."""
_BATCHES: Final = 3
"""At a time: while one is embedded, others are read and their products found."""
_DETECTIONS: Final = 4
"""At a time."""


class Peers(NamedTuple):
    """The services that are asked, the web, and what earlier jobs have made."""

    detector: ClientSettings
    embedder: ClientSettings
    fetch: FetchSettings
    known: str
    """SQLAlchemy's address of the known vectors."""


def peers_of(settings: JobSettings) -> Peers:
    """Those of a worker."""
    return Peers(settings.detector, settings.embedder, settings.fetch, settings.vectors)


def embed(rows: Sequence[Row], peers: Peers) -> pa.Table:
    """A row of `VECTORS` for each picture, in their order. What is known already is not made again.

    Raises UnavailableError, OverloadedError or DeadlineError while a service does not answer.
    """
    return asyncio.run(_embed(rows, peers))


def vectors_of(table: pa.Table) -> NDArray[np.float32]:
    """The vectors of rows without a problem, (n, dimension), all by one model."""
    return np.frombuffer(b"".join(table["vector"].to_pylist()), np.float32).reshape(table.num_rows, -1)


async def _embed(rows: Sequence[Row], peers: Peers) -> pa.Table:
    async with connect(peers.detector) as to_detector, connect(peers.embedder) as to_embedder:
        embedder = GrpcEmbedder(to_embedder)
        models = await embedder.models()
        batches = asyncio.Semaphore(_BATCHES)
        with PictureFiles(peers.fetch) as files, KnownVectors(peers.known) as known:
            maker = _Maker(GrpcDetector(to_detector), embedder, known)

            async def work(batch: Sequence[Row]) -> list[dict[str, object]]:
                async with batches:
                    read = await asyncio.to_thread(files.each, lambda row: _read(row, files, models), batch)
                    made = await maker.make({each.key: each for each in read if isinstance(each, _File)})
                return [_row(row, each, made) for row, each in zip(batch, read, strict=True)]

            made = await asyncio.gather(*(work(rows[i : i + _BATCH]) for i in range(0, len(rows), _BATCH)))
    return pa.Table.from_pylist([row for batch in made for row in batch], VECTORS)


@dataclass(frozen=True, slots=True)
class _File:
    """The file of a picture, and what its vector depends on."""

    data: bytes
    key: Key
    model: EmbeddingModel


def _read(row: Row, files: PictureFiles, models: Sequence[EmbeddingModel]) -> _File | str:
    """The picture's file, or what is wrong with it."""
    try:
        data = files.read(row.uri)
    except UnreadableError as error:
        return str(error)
    model = model_for(row.category, models)
    return _File(data, Key(hashlib.sha256(data).hexdigest(), row.category, model.model), model)


class _Maker:
    """Makes the vectors that are not known."""

    def __init__(self, detector: GrpcDetector, embedder: GrpcEmbedder, known: KnownVectors) -> None:
        self._detector = detector
        self._embedder = embedder
        self._known = known
        self._detections = asyncio.Semaphore(_DETECTIONS)

    async def make(self, files: Mapping[Key, _File]) -> dict[Key, Known | str]:
        """What is known of each file, or what is wrong with it."""
        known = await asyncio.to_thread(self._known.find, list(files))
        new = [file for key, file in files.items() if key not in known]
        seen = dict(zip([file.key for file in new], await asyncio.gather(*map(self._cropped, new)), strict=True))
        cropped = {key: each for key, each in seen.items() if isinstance(each, _Cropped)}
        made: dict[Key, Known] = {}
        for model in sorted({key.model for key in cropped}):
            own = {key: each for key, each in cropped.items() if key.model == model}
            vectors = await self._embedder.embed([each.crop for each in own.values()], model)
            made |= {key: _known(each, vector) for (key, each), vector in zip(own.items(), vectors, strict=True)}
        await asyncio.to_thread(self._known.add, made)
        return {**{key: each for key, each in seen.items() if isinstance(each, str)}, **known, **made}

    async def _cropped(self, file: _File) -> _Cropped | str:
        """The picture's crop, or what is wrong with it."""
        try:
            picture = await asyncio.to_thread(from_file, file.data, Limits())
            async with self._detections:
                found = await self._detector.detect(picture.photo.pixels)
        except (ImageError, InvalidInputError) as error:
            return str(error)
        product = main_product(found, file.key.category)
        crop, features = await asyncio.to_thread(_described, picture, product, file.model)
        return _Cropped(picture.photo.width, picture.photo.height, found[0] if found else None, crop, features)


class _Cropped(NamedTuple):
    """A picture that could be read."""

    width: int
    height: int
    seen: FoundObject | None
    crop: Image
    local_features: bytes


def _described(picture: Picture, product: FoundObject | None, model: EmbeddingModel) -> tuple[Image, bytes]:
    crop = crop_for(picture, product, model)
    return crop, pack(describe(crop))


def _known(cropped: _Cropped, vector: bytes) -> Known:
    seen = cropped.seen
    category, score = (seen.category, seen.score) if seen else ("", 0.0)
    return Known(cropped.width, cropped.height, category, score, vector, cropped.local_features)


def _row(row: Row, read: _File | str, made: Mapping[Key, Known | str]) -> dict[str, object]:
    given: dict[str, object] = {name: getattr(row, name) for name in SCHEMA.names}
    outcome = read if isinstance(read, str) else made[read.key]
    if isinstance(read, str) or isinstance(outcome, str):
        return {**given, "problem": outcome}
    return {**given, "sha256": read.key.sha256, "model": read.key.model, **outcome._asdict(), "problem": ""}

"""Pictures to vectors, by the mesh's own detector and embedder, cropped as the catalogue crops them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from offline.jobs.settings import JobSettings
from offline.pictures.files import PictureFiles, UnreadableError
from offline.pictures.sources import SCHEMA, Row
from shiwu.chassis.channel import connect
from shiwu.chassis.errors import InvalidInputError
from shiwu.chassis.settings import ClientSettings
from shiwu.vision.decode import ImageError, Limits
from shiwu.vision.resize import Image
from shiwu.wire.fetching import FetchSettings
from shiwu.wire.models import EmbeddingModel, FoundObject, GrpcDetector, GrpcEmbedder, model_for
from shiwu.wire.pictures import crop_for, from_file, main_product

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
        ("problem", pa.string()),
    ]
)
"""`SCHEMA`, then of the file its digest and size, the detector's most likely category and its score, and the vector
(little-endian float32, unit length) with its model's name@version. A picture with a `problem` has none of these."""
_BATCH: Final = 32
"""Crops of one call of the embedder."""
_BATCHES: Final = 3
"""At a time: while one is embedded, others are read and their products found."""
_DETECTIONS: Final = 4
"""At a time."""


class Peers(NamedTuple):
    """The services that are asked, and the web."""

    detector: ClientSettings
    embedder: ClientSettings
    fetch: FetchSettings


def peers_of(settings: JobSettings) -> Peers:
    """Those of a worker."""
    return Peers(settings.detector, settings.embedder, settings.fetch)


@dataclass(frozen=True, slots=True)
class _Cropped:
    """A picture that could be read."""

    sha256: str
    width: int
    height: int
    seen: FoundObject | None
    model: EmbeddingModel
    crop: Image


def embed(rows: Sequence[Row], peers: Peers) -> pa.Table:
    """A row of `VECTORS` for each picture, in their order.

    Raises UnavailableError, OverloadedError or DeadlineError while a service does not answer.
    """
    return asyncio.run(_embed(rows, peers))


def vectors_of(table: pa.Table) -> NDArray[np.float32]:
    """The vectors of rows without a problem, (n, dimension), all by one model."""
    return np.frombuffer(b"".join(table["vector"].to_pylist()), np.float32).reshape(table.num_rows, -1)


async def _embed(rows: Sequence[Row], peers: Peers) -> pa.Table:
    async with connect(peers.detector) as to_detector, connect(peers.embedder) as to_embedder:
        detector, embedder = GrpcDetector(to_detector), GrpcEmbedder(to_embedder)
        models = await embedder.models()
        batches, detections = asyncio.Semaphore(_BATCHES), asyncio.Semaphore(_DETECTIONS)
        with PictureFiles(peers.fetch) as files:

            async def work(batch: Sequence[Row]) -> list[dict[str, object]]:
                async with batches:
                    read = [_cropped(row, files, detector, models, detections) for row in batch]
                    return await _embedded(batch, await asyncio.gather(*read), embedder)

            made = await asyncio.gather(*(work(rows[i : i + _BATCH]) for i in range(0, len(rows), _BATCH)))
    return pa.Table.from_pylist([row for batch in made for row in batch], VECTORS)


async def _cropped(
    row: Row,
    files: PictureFiles,
    detector: GrpcDetector,
    models: Sequence[EmbeddingModel],
    detections: asyncio.Semaphore,
) -> _Cropped | str:
    """The picture's crop, or what is wrong with it."""
    try:
        data = await asyncio.to_thread(files.read, row.uri)
        picture = await asyncio.to_thread(from_file, data, Limits())
        async with detections:
            found = await detector.detect(picture.photo.pixels)
    except (UnreadableError, ImageError, InvalidInputError) as error:
        return str(error)
    model = model_for(row.category, models)
    crop = await asyncio.to_thread(crop_for, picture.photo.pixels, main_product(found, row.category), model)
    best = found[0] if found else None
    return _Cropped(picture.sha256, picture.photo.width, picture.photo.height, best, model, crop)


async def _embedded(
    batch: Sequence[Row], read: Sequence[_Cropped | str], embedder: GrpcEmbedder
) -> list[dict[str, object]]:
    good = [each for each in read if isinstance(each, _Cropped)]
    vectors: dict[int, bytes] = {}
    for name in sorted({each.model.model for each in good}):
        own = [each for each in good if each.model.model == name]
        made = await embedder.embed([each.crop for each in own], name)
        vectors.update(zip(map(id, own), made, strict=True))
    return [_row(row, each, vectors) for row, each in zip(batch, read, strict=True)]


def _row(row: Row, read: _Cropped | str, vectors: dict[int, bytes]) -> dict[str, object]:
    known: dict[str, object] = {name: getattr(row, name) for name in SCHEMA.names}
    if isinstance(read, str):
        return {**known, "problem": read}
    return {
        **known,
        "sha256": read.sha256,
        "width": read.width,
        "height": read.height,
        "seen": read.seen.category if read.seen else "",
        "seen_score": read.seen.score if read.seen else 0.0,
        "model": read.model.model,
        "vector": vectors[id(read)],
        "problem": "",
    }

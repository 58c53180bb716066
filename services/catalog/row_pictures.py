"""The pictures of a batch of rows: read, compared with the catalogue, and the new ones cropped.

A picture on the web that the catalogue has is asked for with the state that its server called it last time, and is
not sent again if it still is in that state; a server that does not say so sends it, and its SHA-256 tells.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.catalog.feeds import FeedRow
from services.catalog.ingest import Ingest, local_features
from services.catalog.picture_sources import PictureError, PictureSource
from services.catalog.prepared import Prepared
from services.catalog.resources import ImageState, ReferenceImage, RowProblem
from shiwu.chassis.errors import InvalidInputError
from shiwu.vision.decode import ImageError, Limits, Photo
from shiwu.vision.resize import Image
from shiwu.wire import pictures
from shiwu.wire.fetching import Validators
from shiwu.wire.ids import image_id
from shiwu.wire.models import EmbeddingModel


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A picture that the catalogue does not have, or not as it is now, or not of the model in use."""

    image_id: str
    product_id: str
    address: str
    picture: pictures.Picture
    """Without its pixels: the whole pictures of a batch would fill the memory."""
    crops: Sequence[tuple[EmbeddingModel, Image]] = ()
    """The product, for each model that is still to make a vector of it."""
    vectors: Sequence[tuple[EmbeddingModel, bytes]] = ()
    """By each model, those that came with the feed."""
    local_features: bytes = b""
    """Of the product."""


@dataclass(frozen=True, slots=True)
class RowRead:
    """The pictures of a row that are well."""

    new: tuple[NewPicture, ...] = ()
    unchanged: int = 0
    """Pictures that the catalogue has."""
    states: tuple[ImageState, ...] = ()
    """Of pictures on the web, where they are not those known."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalogue knows of a picture."""

    image: ReferenceImage
    state: ImageState | None


@dataclass(frozen=True, slots=True)
class _Read:
    """A picture that is well."""

    sha256: str
    new: NewPicture | None
    state: ImageState | None


@dataclass(frozen=True, slots=True)
class Task:
    """A row, and what its pictures are seen as."""

    row: FeedRow
    category: str
    models: Sequence[EmbeddingModel]
    """The versions of the model."""


class RowPictures:
    """Reads pictures, some at a time."""

    def __init__(self, ingest: Ingest, source: PictureSource, limits: Limits, *, at_once: int) -> None:
        """at_once: pictures read, decoded and cropped at the same time."""
        self._ingest = ingest
        self._source = source
        self._limits = limits
        self._slots = asyncio.Semaphore(at_once)

    async def read(self, tasks: Sequence[Task], known: Mapping[str, Known]) -> list[RowRead | RowProblem]:
        """For each row its pictures, or why it fails. known: the catalogue's pictures of these rows, by id.

        Raises UnavailableError and the like when the detector does not answer.
        """
        work = [(task, address) for task in tasks for address in task.row.images]
        # All end before the first failure is raised: nothing goes on in the background.
        results = await asyncio.gather(*(self._one(*each, known) for each in work), return_exceptions=True)
        rest = iter([_raised(result) for result in results])
        return [_of_row(task.row, [next(rest) for _ in task.row.images]) for task in tasks]

    async def _one(self, task: Task, address: str, known: Mapping[str, Known]) -> _Read | RowProblem:
        product_id = task.row.product.product_id
        key = image_id(product_id, address)
        stored = known.get(key)
        # By any version that runs: what the others lack is the re-embedding's to add.
        if stored is not None and stored.image.model not in {model.model for model in task.models}:
            stored = None
        async with self._slots:
            try:
                prepared = task.row.prepared.get(address)
                if prepared is not None and prepared.fits(task.models):
                    return _prepared(key, task, address, prepared, stored)
                fetched = await self._source.read_if_changed(address, _validators(stored))
                if fetched.data is None and stored is not None:
                    return _Read(stored.image.sha256, None, None)
                data = fetched.data or b""
                digest = hashlib.sha256(data).hexdigest()
                state = ImageState(key, digest, fetched.validators.etag, fetched.validators.last_modified)
                if stored is not None and stored.image.sha256 == digest:
                    return _Read(digest, None, state if _tells(state) or stored.state else None)
                picture = await asyncio.to_thread(pictures.from_file, data, self._limits)
                crops = await self._ingest.crops(picture, task.category, task.models)
                features = await asyncio.to_thread(local_features, crops[0])
            except PictureError as error:
                return _problem(task.row, address, str(error))
            except (ImageError, InvalidInputError) as error:
                return _problem(task.row, address, f"is not usable: {error}")
        photo = dataclasses.replace(picture.photo, pixels=np.empty((0, 0, 3), np.uint8))
        made = list(zip(task.models, crops, strict=True))
        new = NewPicture(key, product_id, address, pictures.Picture(photo, digest), made, local_features=features)
        return _Read(digest, new, state if _tells(state) else None)


def _prepared(key: str, task: Task, address: str, made: Prepared, stored: Known | None) -> _Read:
    """A picture that need not be read."""
    if stored is not None and stored.image.sha256 == made.sha256:
        return _Read(made.sha256, None, None)
    photo = Photo(np.empty((0, 0, 3), np.uint8), made.width, made.height)
    picture = pictures.Picture(photo, made.sha256)
    vectors = [(model, made.vectors[model.model]) for model in task.models]
    new = NewPicture(
        key, task.row.product.product_id, address, picture, vectors=vectors, local_features=made.local_features
    )
    return _Read(made.sha256, new, None)


def _validators(stored: Known | None) -> Validators:
    if stored is None or stored.state is None:
        return Validators()
    return Validators(stored.state.etag, stored.state.last_modified)


def _tells(state: ImageState) -> bool:
    return bool(state.etag or state.last_modified)


def _raised(result: _Read | RowProblem | BaseException) -> _Read | RowProblem:
    if isinstance(result, BaseException):
        raise result
    return result


def _of_row(row: FeedRow, results: Sequence[_Read | RowProblem]) -> RowRead | RowProblem:
    first: dict[str, str] = {}
    good: list[_Read] = []
    for address, result in zip(row.images, results, strict=True):
        if isinstance(result, RowProblem):
            return result
        if result.sha256 in first:
            return _problem(row, address, f"is the same picture as {first[result.sha256][:500]!r}; list it once")
        first[result.sha256] = address
        good.append(result)
    new = tuple(result.new for result in good if result.new is not None)
    states = tuple(result.state for result in good if result.state is not None)
    return RowRead(new, len(good) - len(new), states)


def _problem(row: FeedRow, address: str, problem: str) -> RowProblem:
    return row.record.problem(row.image_field, f"{address[:500]!r}: {problem}")

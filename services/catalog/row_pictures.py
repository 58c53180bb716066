"""The pictures of a batch of rows: read, compared with the catalogue, and the new ones cropped."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.catalog.feeds import FeedRow, image_id
from services.catalog.ingest import Ingest
from services.catalog.picture_sources import PictureError, PictureSource
from services.catalog.resources import ReferenceImage, RowProblem
from shiwu.chassis.errors import InvalidInputError
from shiwu.vision.decode import ImageError, Limits
from shiwu.vision.resize import Image
from shiwu.wire import pictures
from shiwu.wire.models import EmbeddingModel


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A picture that the catalogue does not have, or not as it is now, or not of the model in use."""

    image_id: str
    product_id: str
    address: str
    picture: pictures.Picture
    """Without its pixels: the whole pictures of a batch would fill the memory."""
    crops: Sequence[tuple[EmbeddingModel, Image]]
    """The product, for each model."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A picture that is well."""

    sha256: str
    new: NewPicture | None


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

    async def read(
        self, tasks: Sequence[Task], known: Mapping[str, ReferenceImage]
    ) -> list[list[NewPicture] | RowProblem]:
        """For each row its new pictures, or why it fails. known: the catalogue's pictures of these rows, by id.

        Raises UnavailableError and the like when the detector does not answer.
        """
        work = [(task, address) for task in tasks for address in task.row.images]
        # All end before the first failure is raised: nothing goes on in the background.
        results = await asyncio.gather(*(self._one(*each, known) for each in work), return_exceptions=True)
        rest = iter([_raised(result) for result in results])
        return [_of_row(task.row, [next(rest) for _ in task.row.images]) for task in tasks]

    async def _one(self, task: Task, address: str, known: Mapping[str, ReferenceImage]) -> _Read | RowProblem:
        product_id = task.row.product.product_id
        key = image_id(product_id, address)
        async with self._slots:
            try:
                data = await self._source.read(address)
                digest = hashlib.sha256(data).hexdigest()
                stored = known.get(key)
                # By any version that runs: what the others lack is the re-embedding's to add.
                if stored is not None and stored.sha256 == digest and stored.model in {m.model for m in task.models}:
                    return _Read(digest, None)
                picture = await asyncio.to_thread(pictures.from_file, data, self._limits)
                crops = await self._ingest.crops(picture, task.category, task.models)
            except PictureError as error:
                return _problem(task.row, address, str(error))
            except (ImageError, InvalidInputError) as error:
                return _problem(task.row, address, f"is not usable: {error}")
        photo = dataclasses.replace(picture.photo, pixels=np.empty((0, 0, 3), np.uint8))
        made = list(zip(task.models, crops, strict=True))
        return _Read(digest, NewPicture(key, product_id, address, pictures.Picture(photo, digest), made))


def _raised(result: _Read | RowProblem | BaseException) -> _Read | RowProblem:
    if isinstance(result, BaseException):
        raise result
    return result


def _of_row(row: FeedRow, results: Sequence[_Read | RowProblem]) -> list[NewPicture] | RowProblem:
    first: dict[str, str] = {}
    for address, result in zip(row.images, results, strict=True):
        if isinstance(result, RowProblem):
            return result
        if result.sha256 in first:
            return _problem(row, address, f"is the same picture as {first[result.sha256][:500]!r}; list it once")
        first[result.sha256] = address
    return [result.new for result in results if isinstance(result, _Read) and result.new is not None]


def _problem(row: FeedRow, address: str, problem: str) -> RowProblem:
    return row.record.problem(row.image_field, f"{address[:500]!r}: {problem}")

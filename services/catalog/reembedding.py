"""A new version of what pictures are found by: vectors of all of them by it, beside those in use; local features.

Every step asks what is still to be done, so that a run that was killed goes on where it was. Pictures that come while
it runs get a vector by each version that the embedder runs (`ingest.versions_for`), and every change of a picture's
row reaches both indexes, so that the new one is whole when it takes over, and stays so, whatever is written meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, get_args

import structlog

from services.catalog.feed_reading import FeedFormat
from services.catalog.indexing import Indexer
from services.catalog.ingest import Ingest, local_features
from services.catalog.picture_sources import PictureError, PictureSource
from services.catalog.resources import ReferenceImage
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import DeadlineError, InvalidInputError, OverloadedError, PreconditionError, UnavailableError
from shiwu.vision.decode import ImageError, Limits
from shiwu.vision.resize import Image
from shiwu.wire import pictures
from shiwu.wire.models import EmbeddingModel, model_for

T = TypeVar("T")
_MOST = 1000
_CROPS = 200
"""Pictures at a time: their crops are held together, 150 KB each."""
_PASSING = (UnavailableError, OverloadedError, DeadlineError)
_LONGEST_PAUSE = 5.0
_log = structlog.get_logger()


@dataclass
class Outcome:
    """What a run has done."""

    made: int = 0
    """Vectors made."""
    lost: dict[str, str] = field(default_factory=dict)
    """Pictures that cannot be made again, and why."""


class Reembedding:
    """Makes the index of one version, from the pictures' addresses."""

    def __init__(
        self,
        store: CatalogStore,
        ingest: Ingest,
        indexer: Indexer,
        sources: Sequence[PictureSource],
        limits: Limits,
        *,
        at_once: int,
    ) -> None:
        """sources: where addresses lead; the first in which there is the same picture counts. at_once: pictures."""
        self._store = store
        self._ingest = ingest
        self._indexer = indexer
        self._sources = sources
        self._limits = limits
        self._slots = asyncio.Semaphore(at_once)

    async def build(self, model: str, report: Callable[[int, int], None]) -> Outcome:
        """Gives every picture a vector by this version, and search those; searches go on with what they have.

        report: is told how many were made so far, and how many cannot be. Raises PreconditionError if the embedder does
        not run the version. Waits for services that do not answer, however long.
        """
        version = await self._version(model)
        outcome, before = Outcome(), -1
        while outcome.made > before:  # once more for what came meanwhile, until a round finds nothing to do
            before, after, outcome.lost = outcome.made, "", {}
            while images := await self._store.images_without(model, after=after, limit=_CROPS):
                after = images[-1].image_id
                await self._make(images, version, outcome)
                report(outcome.made, len(outcome.lost))
        await self._index(model)
        return outcome

    async def describe(self, report: Callable[[int, int], None]) -> Outcome:
        """Gives every picture local features that scans of this release compare; those that it has stay.

        report: is told how many were made so far, and how many cannot be. Waits for services that do not answer.
        """
        outcome, after = Outcome(), ""
        models = await _patiently(self._ingest.models)
        while images := await self._store.images_to_describe(after=after, limit=_CROPS):
            after = images[-1].image_id
            crops = await self._crops(images, lambda category: model_for(category, models), outcome)
            features = {image.image_id: (image.sha256, each) for image, _, each in crops}
            await _patiently(lambda: self._store.set_local_features(features))  # noqa: B023
            outcome.made += len(features)
            report(outcome.made, len(outcome.lost))
        return outcome

    async def promote(self, model: str, old: str) -> list[str]:
        """Makes this version the own one of all pictures, and forgets their vectors by the old one.

        Returns pictures that have no vector by it. Raises PreconditionError while the embedder still runs the old one:
        its callers could still store vectors by it.
        """
        if old in {each.model for each in await self._ingest.models()}:
            msg = f"the embedder still runs {old}; run it without first"
            raise PreconditionError(msg)
        await self._version(model)
        after, lost = "", list[str]()
        while ids := await self._store.images_with(model, after=after, limit=_MOST):
            after = ids[-1]
            await self._store.promote(model, ids)
        after = ""
        while ids := await self._store.images_with(old, after=after, limit=_MOST):
            after = ids[-1]
            await self._store.remove_vectors(old, ids)
        after = ""
        while images := await self._store.images_without(model, after=after, limit=_MOST):
            after = images[-1].image_id
            lost += [image.image_id for image in images]
        return lost

    async def delete(self, image_ids: Sequence[str]) -> None:
        """Removes pictures from the catalogue and the index, in the order of image_store.py."""
        for image_id in image_ids:
            deleted = False
            while not deleted:
                images = await self._store.suspend_images(image_id=image_id)
                await self._indexer.forget([image_id])
                deleted = not images or await self._store.delete_image(images[0])

    async def _version(self, model: str) -> EmbeddingModel:
        running = await _patiently(self._ingest.models)
        for each in running:
            if each.model == model:
                return each
        msg = f"the embedder does not run {model}, but {', '.join(each.model for each in running)}"
        raise PreconditionError(msg)

    async def _crops(
        self, images: Sequence[ReferenceImage], model_of: Callable[[str], EmbeddingModel], outcome: Outcome
    ) -> list[tuple[ReferenceImage, Image, bytes]]:
        """Images with their crops for the model of their category, and local features."""
        products = await _patiently(lambda: self._store.find_products({image.product_id for image in images}))
        categories = [products[i.product_id].category if i.product_id in products else "" for i in images]
        read = await asyncio.gather(
            *(
                self._crop(image, category, model_of(category))
                for image, category in zip(images, categories, strict=True)
            )
        )
        outcome.lost |= {
            image.image_id: reason for image, reason in zip(images, read, strict=True) if isinstance(reason, str)
        }
        return [(image, *each) for image, each in zip(images, read, strict=True) if not isinstance(each, str)]

    async def _make(self, images: Sequence[ReferenceImage], version: EmbeddingModel, outcome: Outcome) -> None:
        crops = await self._crops(images, lambda _: version, outcome)
        if not crops:
            return
        made = await _patiently(lambda: self._ingest.embed([crop for _, crop, _ in crops], version))
        vectors = {image.image_id: (image.sha256, each) for (image, _, _), each in zip(crops, made, strict=True)}
        features = {image.image_id: (image.sha256, each) for image, _, each in crops}
        await _patiently(lambda: self._store.set_local_features(features))
        await _patiently(lambda: self._store.add_vectors(version.model, vectors))
        await _patiently(lambda: self._indexer.index_version(list(vectors), version.model))
        outcome.made += len(vectors)

    async def _crop(self, image: ReferenceImage, category: str, version: EmbeddingModel) -> tuple[Image, bytes] | str:
        """The product in the picture with its local features, or why there is none."""
        async with self._slots:
            data = await self._read(image)
            if isinstance(data, str):
                return data
            try:
                picture = await asyncio.to_thread(pictures.from_file, data, self._limits)
                [crop] = await _patiently(lambda: self._ingest.crops(picture, category, [version]))
            except (ImageError, InvalidInputError) as error:
                return f"is not usable: {error}"
            return crop, await asyncio.to_thread(local_features, crop)

    async def _read(self, image: ReferenceImage) -> bytes | str:
        if not image.uri:
            return "came without an address"
        reason = "is not there"
        for source in self._sources:
            try:
                data = await source.read(image.uri)
            except PictureError as error:
                reason = str(error)
                continue
            if hashlib.sha256(data).hexdigest() == image.sha256:
                return data
            reason = "is another picture now; import it again"
        return reason

    async def _index(self, model: str) -> None:
        """Gives search what it lacks of the vectors made: those of a run that was killed, or that it has lost."""
        after = ""
        while ids := await self._store.images_with(model, after=after, limit=_MOST):
            after = ids[-1]
            chunk = list(ids)
            missing = await _patiently(lambda: self._indexer.find_missing(chunk, model))  # noqa: B023
            await _patiently(lambda: self._indexer.index_version(missing, model))  # noqa: B023


def sources(roots: Sequence[Path], make: Callable[[Path], PictureSource]) -> list[PictureSource]:
    """Feeds name pictures relative to their own folders, so each folder under the roots that has a feed is tried."""
    folders = [
        path.parent for root in roots for kind in get_args(FeedFormat) for path in sorted(root.rglob(f"*.{kind}"))
    ]
    return [make(folder) for folder in dict.fromkeys([*folders, *roots])]


async def _patiently(action: Callable[[], Awaitable[T]]) -> T:
    """The result of `action`, repeated while something that it needs does not answer."""
    pause = 0.1
    while True:
        try:
            return await action()
        except _PASSING as error:
            _log.warning("waiting", seconds=pause, error=str(error))
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)

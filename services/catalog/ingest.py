"""Pictures into the catalogue: detect, crop, embed, write, index. And back: what the index has lost, it gets again.

The order is that of image_store.py: first everything that can fail without a trace (detector, embedder), then the row
with its vector, whose `index_time` is still unset, then the index, then `index_time`. A crash before the row leaves
nothing. A crash after it leaves a row that says itself that no search finds it yet; adding the picture again, the next
import, or `verify` completes it. A vector in the index always has a row, so whatever deletes a product finds all of
its vectors; and as the row keeps the vector, a store that has lost some is filled again without the pictures.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from services.catalog.peers import Detector, Embedder, Index
from services.catalog.resources import Batch, ReferenceImage
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import AlreadyExistsError, NotFoundError
from shiwu.vision.local_features import describe, pack
from shiwu.vision.resize import Image
from shiwu.wire.models import EmbeddingModel, versions_for
from shiwu.wire.pictures import Picture, crop_for, main_product

_MOST = 1000
"""Images asked of the store and of search at once."""
_CROPS = 32
"""Crops of one call of the embedder."""


class Ingest:
    """Adds reference images. Any number may be added at the same time.

    Every method raises UnavailableError, OverloadedError or DeadlineError when the database, the detector, the
    embedder or search does not answer.
    """

    def __init__(self, store: CatalogStore, detector: Detector, embedder: Embedder, index: Index) -> None:
        self._store = store
        self._detector = detector
        self._embedder = embedder
        self._index = index

    async def add(self, *, image_id: str, product_id: str, picture: Picture, uri: str = "") -> ReferenceImage:
        """Adds a picture of a product; answers when a search finds it.

        NotFoundError if there is no such product; AlreadyExistsError if the image is there. One whose adding was
        interrupted (by a crash, or because search did not answer) is not: it is replaced.
        """
        product = await self._store.get_product(product_id)
        existing = (await self._store.find_images([image_id])).get(image_id)
        if existing is not None and existing.index_time is not None:
            msg = f"reference image {image_id!r} exists"
            raise AlreadyExistsError(msg)
        versions = versions_for(product.category, await self._embedder.models())
        crops = await self.crops(picture, product.category, versions)
        [vectors] = await self.vectors([list(zip(versions, crops, strict=True))])
        features = await asyncio.to_thread(local_features, crops[0])
        image = reference_image(image_id, product_id, picture, vectors, features, uri)
        await self._store.write(Batch(images=(image,)))
        await self._index.index([image_id])
        return await self._store.get_image(image_id)

    async def models(self) -> list[EmbeddingModel]:
        """The embedder's models."""
        return await self._embedder.models()

    async def crops(self, picture: Picture, category: str, models: Sequence[EmbeddingModel]) -> list[Image]:
        """The product in the picture, for each model. InvalidInputError if the detector refuses the picture."""
        found = main_product(await self._detector.detect(picture.photo.pixels), category)
        return [await asyncio.to_thread(crop_for, picture, found, model) for model in models]

    async def vectors(
        self, pictures: Sequence[Sequence[tuple[EmbeddingModel, Image]]]
    ) -> list[list[tuple[EmbeddingModel, bytes]]]:
        """The vectors of pictures' crops, each by its model.

        A version that the embedder has meanwhile ceased to run is left out where another one is asked for, too: while
        its processes are replaced one by one, it depends on which of them answers what it runs.
        """
        crops: dict[EmbeddingModel, list[Image]] = defaultdict(list)
        for model, crop in (each for picture in pictures for each in picture):
            crops[model].append(crop)
        made: dict[EmbeddingModel, Iterator[bytes]] = {}
        gone: NotFoundError | None = None
        for model, mine in crops.items():
            try:
                made[model] = iter(await self.embed(mine, model))
            except NotFoundError as error:
                gone = error
        if gone and any(picture and made.keys().isdisjoint(dict(picture)) for picture in pictures):
            raise gone
        return [[(model, next(made[model])) for model, _ in picture if model in made] for picture in pictures]

    async def embed(self, crops: Sequence[Image], model: EmbeddingModel) -> list[bytes]:
        """The vectors of crops, in their order."""
        vectors: list[bytes] = []
        for start in range(0, len(crops), _CROPS):
            vectors += await self._embedder.embed(crops[start : start + _CROPS], model.model)
        return vectors

    async def index(self, image_ids: Collection[str], operation_id: str = "") -> int:
        """Indexes those of these images that wait for it; returns how many.

        operation_id: an import that counts them.
        """
        images = await self._store.find_images(image_ids)
        waiting = [image.image_id for image in images.values() if image.index_time is None]
        if waiting:
            await self._index.index(waiting, operation_id=operation_id)
        return len(waiting)

    async def verify(self, image_ids: Collection[str], operation_id: str = "") -> int:
        """Asks search whether it holds these images, and indexes those that it does not; returns how many.

        Those that are new to the index (index_time unset) are counted for the import `operation_id`.
        """
        repaired = 0
        ids = iter(image_ids)
        while chunk := list(islice(ids, _MOST)):
            repaired += await self.index(chunk, operation_id)
            repaired += await self._restore(list((await self._store.find_images(chunk)).values()))
        return repaired

    async def verify_all(self) -> int:
        """Checks every picture of the catalogue against the index, as `verify` does; for after a loss of the index."""
        repaired, last = 0, ""
        while images := await self._store.list_images(after=last, limit=_MOST):
            last = images[-1].image_id
            repaired += await self.verify([image.image_id for image in images])
        return repaired

    async def _restore(self, images: Sequence[ReferenceImage]) -> int:
        lost: set[str] = set()
        for model in {image.model for image in images}:
            lost |= await self._index.find_missing([image.image_id for image in images if image.model == model], model)
        if lost:
            await self._index.index(lost)
        return len(lost)


def local_features(crop: Image) -> bytes:
    """What a photo of the product in the crop is compared with, beside vectors."""
    return pack(describe(crop))


def reference_image(
    image_id: str,
    product_id: str,
    picture: Picture,
    vectors: Sequence[tuple[EmbeddingModel, bytes]],
    features: bytes,
    uri: str,
) -> ReferenceImage:
    """The row of a picture. vectors: by its own model first, then by other versions of that."""
    (model, vector), *others = vectors
    return ReferenceImage(
        image_id,
        product_id,
        uri,
        sha256=picture.sha256,
        width=picture.photo.width,
        height=picture.photo.height,
        model=model.model,
        vector=vector,
        local_features=features,
        others=tuple((each.model, made) for each, made in others),
    )

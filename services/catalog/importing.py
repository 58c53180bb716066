"""One batch of a feed: rows in, products, offers and pictures out.

A row is imported whole or not at all. What is wrong with a row (its text, a picture) becomes a `RowProblem`; what is
wrong with the world (the embedder does not answer) is raised, and nothing of the batch was written then.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.catalog import pictures
from services.catalog.feed_survey import Seen
from services.catalog.feeds import FeedRow, image_id
from services.catalog.ingest import Ingest, model_for, reference_image
from services.catalog.peers import EmbeddingModel
from services.catalog.picture_sources import PictureError, PictureSource
from services.catalog.resources import Batch, Product, Progress, ReferenceImage, RowProblem, Style
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import InvalidInputError, NotFoundError
from shiwu.vision.decode import ImageError, Limits
from shiwu.vision.resize import Image


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a batch, and which of its keys earlier rows of the feed had."""

    row: FeedRow
    seen: Seen


@dataclass(frozen=True, slots=True)
class _NewPicture:
    """A picture that must be embedded."""

    address: str
    picture: pictures.Picture
    crop: Image
    model: EmbeddingModel


class _BadPictureError(Exception):
    """A row's picture cannot be used."""

    def __init__(self, entry: Entry, address: str, problem: str) -> None:
        super().__init__(f"{address}: {problem}")
        self.problem = entry.row.record.problem(entry.row.image_field, f"{address[:500]!r} {problem}")


class Importer:
    """Imports batches of one feed."""

    def __init__(
        self, store: CatalogStore, ingest: Ingest, source: PictureSource, limits: Limits, *, at_once: int
    ) -> None:
        """at_once: pictures read, decoded and cropped at the same time."""
        self._store = store
        self._ingest = ingest
        self._source = source
        self._limits = limits
        self._slots = asyncio.Semaphore(at_once)

    async def write(self, entries: Sequence[Entry], problems: Sequence[RowProblem], progress: Progress) -> list[str]:
        """Writes the batch, with `progress` and what was wrong with its rows, in one transaction.

        Returns the ids of all of its pictures; those that changed wait to be indexed.
        """
        products = await self._products(entries)
        models = await self._ingest.models()
        outcomes = await self._pictures(entries, products, models)
        good = [entry for entry in entries if not isinstance(outcomes[entry.row.record.line], RowProblem)]
        new = [
            (entry, picture)
            for entry in good
            for picture in _pictures_of(outcomes[entry.row.record.line])
        ]
        batch = Batch(
            styles=tuple((await self._styles(good, products)).values()),
            products=tuple({e.row.product.product_id: products[e.row.product.product_id] for e in good}.values()),
            offers=tuple(entry.row.offer for entry in good if entry.row.offer is not None),
            images=tuple(await self._embedded(new)),
        )
        failed = [outcome for outcome in outcomes.values() if isinstance(outcome, RowProblem)]
        await self._store.write(batch, dataclasses.replace(progress, problems=(*problems, *failed)))
        return [image for entry in good for image in image_ids(entry.row)]

    async def _products(self, entries: Sequence[Entry]) -> dict[str, Product]:
        """The products of the batch as they shall be: as the first row of the feed that names them says."""
        products: dict[str, Product] = {}
        for entry in entries:
            product = entry.row.product
            if product.product_id not in products:
                earlier = await self._stored_product(product.product_id) if entry.seen.product else None
                products[product.product_id] = earlier or product
        return products

    async def _stored_product(self, product_id: str) -> Product | None:
        try:
            return await self._store.get_product(product_id)
        except NotFoundError:  # the row that named it first has failed
            return None

    async def _styles(self, entries: Sequence[Entry], products: Mapping[str, Product]) -> dict[str, Style]:
        """The styles of the batch as they shall be. One without a title is called like its first product."""
        styles: dict[str, Style] = {}
        for entry in entries:
            row = entry.row
            product = products[row.product.product_id]
            if row.style is None or row.style.style_id != product.style_id or row.style.style_id in styles:
                continue
            stored = await self._stored_style(row.style.style_id)
            if stored is None:
                styles[row.style.style_id] = dataclasses.replace(row.style, title=row.style.title or product.title)
            elif not entry.seen.style and row.style.title:
                styles[row.style.style_id] = row.style
        return styles

    async def _stored_style(self, style_id: str) -> Style | None:
        try:
            return await self._store.get_style(style_id)
        except NotFoundError:
            return None

    async def _pictures(
        self, entries: Sequence[Entry], products: Mapping[str, Product], models: Sequence[EmbeddingModel]
    ) -> dict[int, list[_NewPicture] | RowProblem]:
        """Of each row, by its line: the pictures that must be embedded, or why the row fails."""
        known = await self._store.find_images({image for entry in entries for image in image_ids(entry.row)})

        async def row(entry: Entry) -> list[_NewPicture] | RowProblem:
            product = products[entry.row.product.product_id]
            model = model_for(product.category, models)
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._picture(entry, address, product, model, known))
                        for address in entry.row.images
                    ]
            except* _BadPictureError as failures:
                return _first(failures)
            read = [task.result() for task in tasks]
            return _twins(entry, [digest for digest, _ in read]) or [new for _, new in read if new is not None]

        # A failure of one row's group cancels only that row; what is raised here ends the batch.
        outcomes = await _gathered([row(entry) for entry in entries])
        return {entry.row.record.line: outcome for entry, outcome in zip(entries, outcomes, strict=True)}

    async def _picture(
        self,
        entry: Entry,
        address: str,
        product: Product,
        model: EmbeddingModel,
        known: Mapping[str, ReferenceImage],
    ) -> tuple[str, _NewPicture | None]:
        """The picture's SHA-256, and itself unless it is in the catalogue as it is, embedded by the same model."""
        async with self._slots:
            try:
                data = await self._source.read(address)
                digest = hashlib.sha256(data).hexdigest()
                stored = known.get(image_id(product.product_id, address))
                if stored is not None and (stored.sha256, stored.model) == (digest, model.model):
                    return digest, None
                picture = await asyncio.to_thread(pictures.from_file, data, self._limits)
                crop = await self._ingest.crop(picture, product.category, model)
            except PictureError as error:
                raise _BadPictureError(entry, address, str(error)) from error
            except (ImageError, InvalidInputError) as error:
                raise _BadPictureError(entry, address, f"is not usable: {error}") from error
        # Only the crop is kept: the pictures of a batch would fill the memory.
        return digest, _NewPicture(address, pictures.Picture(dataclasses.replace(picture.photo, pixels=crop), digest), crop, model)

    async def _embedded(self, new: Sequence[tuple[Entry, _NewPicture]]) -> list[ReferenceImage]:
        images: list[ReferenceImage] = []
        for model in {picture.model for _, picture in new}:
            mine = {
                image_id(entry.row.product.product_id, picture.address): (entry, picture)
                for entry, picture in new
                if picture.model == model
            }
            vectors = await self._ingest.embed({key: picture.crop for key, (_, picture) in mine.items()}, model)
            images += [
                reference_image(
                    key, entry.row.product.product_id, picture.picture, model, vectors[key], picture.address
                )
                for key, (entry, picture) in mine.items()
            ]
        return images

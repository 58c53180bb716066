"""One batch of a feed: rows in, products, offers and pictures out.

A row is imported whole or not at all. What is wrong with a row (its text, a picture) becomes a `RowProblem`; what is
wrong with the world (the embedder does not answer) is raised, and nothing of the batch has been written then.

Rows of the same product, or style, need not agree about it: the first of them in the feed decides, so that importing
the same feed again changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.catalog.feed_survey import Seen
from services.catalog.feeds import FeedRow
from services.catalog.ingest import Ingest, reference_image
from services.catalog.resources import Batch, Product, Progress, ReferenceImage, RowProblem, Style
from services.catalog.row_pictures import Known, NewPicture, RowPictures, RowRead, Task
from services.catalog.store import CatalogStore
from shiwu.wire.ids import image_id
from shiwu.wire.models import versions_for


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a batch, and which of its keys earlier rows of the feed had."""

    row: FeedRow
    seen: Seen

    @property
    def product_id(self) -> str:
        return self.row.product.product_id

    @property
    def image_ids(self) -> list[str]:
        return [image_id(self.product_id, address) for address in self.row.images]


class Importer:
    """Imports batches of one feed."""

    def __init__(self, store: CatalogStore, ingest: Ingest, pictures: RowPictures) -> None:
        self._store = store
        self._ingest = ingest
        self._pictures = pictures

    async def write(self, entries: Sequence[Entry], progress: Progress) -> list[str]:
        """Writes a batch, and the progress with what was wrong with its rows, in one transaction.

        Returns the ids of the batch's pictures, of which those that changed wait to be indexed.
        """
        stored = await self._stored_products(entries)
        outcomes = await self._read(entries, _products(entries, stored))
        bad = [outcome for outcome in outcomes if isinstance(outcome, RowProblem)]
        good = [entry for entry, outcome in zip(entries, outcomes, strict=True) if not isinstance(outcome, RowProblem)]
        read = [outcome for outcome in outcomes if not isinstance(outcome, RowProblem)]
        products = _products(good, stored)
        batch = Batch(
            styles=await self._styles(good, products),
            products=tuple(products[entry] for entry in dict.fromkeys(entry.product_id for entry in good)),
            offers=tuple(entry.row.offer for entry in good if entry.row.offer is not None),
            images=await self._embedded([picture for each in read for picture in each.new]),
            states=tuple(state for each in read for state in each.states),
        )
        unchanged = sum(each.unchanged for each in read)
        problems = (*progress.problems, *bad)
        await self._store.write(batch, dataclasses.replace(progress, problems=problems, images_unchanged=unchanged))
        return [image for entry in good for image in entry.image_ids]

    async def _stored_products(self, entries: Sequence[Entry]) -> dict[str, Product]:
        """Products that a row before this batch has named, unless that row has failed."""
        start = entries[0].row.record.line if entries else 0
        named = [entry.product_id for entry in entries if 0 < entry.seen.product < start]
        return await self._store.find_products(named) if named else {}

    async def _read(self, entries: Sequence[Entry], products: Mapping[str, Product]) -> list[RowRead | RowProblem]:
        if not any(entry.row.images for entry in entries):
            return [RowRead() for _ in entries]
        images = await self._store.find_images([image for entry in entries for image in entry.image_ids])
        states = await self._store.find_image_states(images) if images else {}
        known = {key: Known(image, states.get(key)) for key, image in images.items()}
        models = await self._ingest.models()
        categories = [products[entry.product_id].category for entry in entries]
        tasks = [
            Task(entry.row, category, versions_for(category, models))
            for entry, category in zip(entries, categories, strict=True)
        ]
        return await self._pictures.read(tasks, known)

    async def _styles(self, entries: Sequence[Entry], products: Mapping[str, Product]) -> tuple[Style, ...]:
        """The styles to write. One without a title is called like its first product."""
        deciding: dict[str, Entry] = {}
        for entry in entries:
            if entry.row.style is not None and products[entry.product_id] is entry.row.product:
                deciding.setdefault(entry.row.style.style_id, entry)
        stored = await self._store.find_styles(list(deciding)) if deciding else {}
        start = entries[0].row.record.line if entries else 0
        return tuple(
            style
            for entry in deciding.values()
            if (style := _style(entry, stored, named_before=0 < entry.seen.style < start)) is not None
        )

    async def _embedded(self, new: Sequence[NewPicture]) -> tuple[ReferenceImage, ...]:
        vectors = await self._ingest.vectors([picture.crops for picture in new])
        return tuple(
            reference_image(
                picture.image_id,
                picture.product_id,
                picture.picture,
                picture.vectors or made,
                picture.local_features,
                uri=picture.address,
            )
            for picture, made in zip(new, vectors, strict=True)
        )


def _products(entries: Sequence[Entry], stored: Mapping[str, Product]) -> dict[str, Product]:
    products = dict(stored)
    for entry in entries:
        products.setdefault(entry.product_id, entry.row.product)
    return products


def _style(entry: Entry, stored: Mapping[str, Style], *, named_before: bool) -> Style | None:
    """The style as this row wants it; None: leave it as it is."""
    style = entry.row.style
    if style is None or (style.style_id in stored and (named_before or not style.title)):
        return None
    return dataclasses.replace(style, title=style.title or entry.row.product.title)

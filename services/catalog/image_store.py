"""The port to the rows of reference images.

Reference images live in two places, here and in the search index, and this is how they stay one thing:

1. Whoever adds or changes pictures writes them here first, with their vectors (`write`). Their `index_time` is unset
   from then on. Moving a product to another style or category does the same to its pictures.
2. Then `Indexer.index(image_ids)` (indexing.py) stores in the index what `index_records` says, and `mark_indexed`
   sets `index_time`, but only where the row's `revision` is still the one that was read. Where it is not, somebody
   else was faster, and the Indexer repeats with the row as it is now; where the row is gone, it deletes the vector.
3. Whoever deletes makes the rows pending (`suspend_images`), then removes the vectors, and then the rows, again only
   if they are still as they were when made pending; where they are not, the vectors may be back, and all is repeated.

4. Deleted pictures are remembered for a while (`deleted_images`), and step 2 is done once more for them: who was at
   step 2 when a row went may have died before it took the vector out again, or may have been given up on by its caller
   while search still worked on it.

So however these steps interleave, and wherever a process dies between them, the index either agrees with the rows or
the rows say that it does not (`index_time` unset): `pending_images` lists these, and repeating step 2 repairs them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from services.catalog.resources import ImageState, IndexRecord, ReferenceImage


class ImageStore(Protocol):
    """Reference images in a database, and how far the index agrees with them.

    A part of `CatalogStore`, whose rules hold: each method is one transaction, and so on.
    """

    async def get_image(self, image_id: str) -> ReferenceImage:
        """Returns a reference image."""
        ...

    async def find_images(self, image_ids: Collection[str]) -> dict[str, ReferenceImage]:
        """Those of these images that exist, by their id: `sha256`, `model` and `index_time` tell what has changed."""
        ...

    async def find_image_states(self, image_ids: Collection[str]) -> dict[str, ImageState]:
        """The states that are known of these images' files, by the image; none of a file that is not the row's."""
        ...

    async def find_local_features(self, image_ids: Collection[str]) -> dict[str, bytes]:
        """The local features of those of these images of which they are known, by the image."""
        ...

    async def list_images(self, *, after: str, limit: int, product_id: str = "") -> list[ReferenceImage]:
        """Reference images of `product_id`, or all."""
        ...

    async def suspend_images(self, *, product_id: str = "", image_id: str = "") -> list[ReferenceImage]:
        """Makes a product's images, or one image, pending, before somebody takes them out of the index.

        Returns them as they are then, sorted by key; of images that do not exist, none.
        """
        ...

    async def delete_image(self, image: ReferenceImage) -> bool:
        """Removes a picture, unless it is not as `image` any more (False, and nothing was deleted)."""
        ...

    async def deleted_images(self, *, after: str, limit: int) -> list[str]:
        """Ids of images that were deleted, some of which may be there again, until `erase_deletions`."""
        ...

    async def erase_deletions(self, *, before: datetime) -> int:
        """Remembers images no more that were deleted before; returns how many."""
        ...

    async def index_records(self, image_ids: Collection[str]) -> list[IndexRecord]:
        """What the index should hold for these images, without those that do not exist.

        A record for each version of the model that there is a vector of, those of the images' own models first.
        """
        ...

    async def mark_indexed(
        self, records: Collection[IndexRecord], index_time: datetime, *, operation_id: str = ""
    ) -> frozenset[str]:
        """Sets the index time of the images that are still as `records` say; returns the ids of the others.

        operation_id: an import whose `images_indexed` counts them, in the same transaction.
        """
        ...

    async def pending_images(self, *, after: str, limit: int, product_id: str = "") -> list[str]:
        """Ids of images, of `product_id` or all, that the index does not hold as they stand here."""
        ...

    async def images_without(self, model: str, *, after: str, limit: int) -> list[ReferenceImage]:
        """Images by other versions of the model, of which there is no vector by this one."""
        ...

    async def images_with(self, model: str, *, after: str, limit: int) -> list[str]:
        """Ids of images by other versions of the model, of which there is a vector by this one, too."""
        ...

    async def add_vectors(self, model: str, vectors: Mapping[str, tuple[str, bytes]]) -> None:
        """Keeps vectors by another version of the model than the images' own.

        vectors: by image, with the `sha256` of the picture that it was made of. One of a picture that is another one
        by now, or is gone, or has a vector by this version, is left out.
        """
        ...

    async def images_to_describe(self, *, after: str, limit: int) -> list[ReferenceImage]:
        """Images whose local features are not known, or packed by another release."""
        ...

    async def set_local_features(self, features: Mapping[str, tuple[str, bytes]]) -> None:
        """Keeps local features of images whose rows came without them, or with another release's.

        features: by image, with the `sha256` of the picture that they are of. Those of a picture that is another one by
        now, or is gone, are left out.
        """
        ...

    async def promote(self, model: str, image_ids: Collection[str]) -> None:
        """Makes this version the own model of those images that have a vector by it; what was it becomes another."""
        ...

    async def remove_vectors(self, model: str, image_ids: Collection[str]) -> None:
        """Forgets the images' vectors by a version that is not their own model."""
        ...

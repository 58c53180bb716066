"""The port to the catalogue's facts.

Reference images live in two places, here and in the search index, and this is how they stay one thing:

1. Whoever adds or changes pictures writes them here first, with their vectors (`write`). Their `index_time` is unset
   from then on. Moving a product to another style or category does the same to its pictures.
2. Then `Indexer.index(image_ids)` (indexing.py) stores in the index what `index_records` says, and `mark_indexed`
   sets `index_time`, but only where the row's `revision` is still the one that was read. Where it is not, somebody
   else was faster, and the Indexer repeats with the row as it is now; where the row is gone, it deletes the vector.
3. Whoever deletes makes the rows pending (`suspend_images`), then removes the vectors, and then the rows, again only
   if they are still as they were when made pending; where they are not, the vectors may be back, and all is repeated.

So however these steps interleave, and wherever a process dies between them, the index either agrees with the rows or
the rows say that it does not (`index_time` unset): `pending_images` lists these, and repeating step 2 repairs them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.catalog.ledger import ImportLedger
from services.catalog.resources import (
    Article,
    Backlog,
    Batch,
    Coverage,
    Description,
    Feedback,
    Gap,
    GapPlace,
    GapState,
    ImageState,
    IndexRecord,
    Offer,
    Product,
    Progress,
    ReferenceImage,
    Replay,
    Style,
)


class CatalogStore(ImportLedger, Protocol):
    """Facts in a database.

    Every method is one transaction. Errors of all: UnavailableError when the database does not answer, or not in time
    (nothing was written then). `create_*` raise AlreadyExistsError if the key is taken; `get_*` of one thing,
    `update_*` and `delete_*` raise NotFoundError if it does not exist; what refers to something that does not exist
    (an offer to its product) raises NotFoundError too. Lists return at most `limit` rows with keys after `after`,
    sorted by key (by code points). The store sets all times except `scan_time`, and returns what it stored.
    """

    async def ready(self) -> bool:
        """Whether the database answers."""
        ...

    async def close(self) -> None:
        """Gives the connections back."""
        ...

    async def create_style(self, style: Style) -> Style:
        """Adds a style."""
        ...

    async def get_style(self, style_id: str) -> Style:
        """Returns a style."""
        ...

    async def find_styles(self, style_ids: Collection[str]) -> dict[str, Style]:
        """Those of these styles that exist, by their id."""
        ...

    async def list_styles(self, *, after: str, limit: int, category: str = "") -> list[Style]:
        """Styles of `category`, or all."""
        ...

    async def update_style(self, style_id: str, changes: Mapping[str, object]) -> Style:
        """Changes the fields named in `changes`."""
        ...

    async def delete_style(self, style_id: str) -> None:
        """Removes a style. PreconditionError while products belong to it."""
        ...

    async def create_product(self, product: Product) -> Product:
        """Adds a product."""
        ...

    async def get_product(self, product_id: str) -> Product:
        """Returns a product."""
        ...

    async def find_products(self, product_ids: Collection[str]) -> dict[str, Product]:
        """Those of these products that exist, by their id."""
        ...

    async def list_products(self, *, after: str, limit: int, style_id: str = "", category: str = "") -> list[Product]:
        """Products of `style_id` and `category`, where given."""
        ...

    async def update_product(self, product_id: str, changes: Mapping[str, object]) -> Product:
        """Changes the fields named in `changes`. A new style or category makes the product's pictures pending."""
        ...

    async def delete_product(self, product_id: str, images: Collection[ReferenceImage]) -> bool:
        """Removes a product with its offers and pictures, unless its pictures are not exactly `images` any more.

        False: they have changed since they were read, and nothing was deleted.
        """
        ...

    async def create_offer(self, offer: Offer) -> Offer:
        """Adds an offer."""
        ...

    async def get_offer(self, offer_id: str) -> Offer:
        """Returns an offer."""
        ...

    async def list_offers(self, *, after: str, limit: int, product_id: str = "") -> list[Offer]:
        """Offers for `product_id`, or all."""
        ...

    async def open_offers(self, merchant: str, *, after: str, limit: int) -> list[str]:
        """Ids of a merchant's offers that are not closed."""
        ...

    async def update_offer(self, offer_id: str, changes: Mapping[str, object]) -> Offer:
        """Changes the fields named in `changes`. One that becomes available is open again."""
        ...

    async def delete_offer(self, offer_id: str) -> None:
        """Removes an offer."""
        ...

    async def create_article(self, article: Article) -> Article:
        """Adds an article."""
        ...

    async def get_article(self, article_id: str) -> Article:
        """Returns an article."""
        ...

    async def list_articles(self, *, after: str, limit: int) -> list[Article]:
        """All articles."""
        ...

    async def search_articles(self, query: str, *, offset: int, limit: int) -> list[Article]:
        """Articles in which every word of `query` occurs, best first. Any text is a query; no words match nothing."""
        ...

    async def update_article(self, article_id: str, changes: Mapping[str, object]) -> Article:
        """Changes the fields named in `changes`."""
        ...

    async def delete_article(self, article_id: str) -> None:
        """Removes an article."""
        ...

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

    async def set_local_features(self, features: Mapping[str, tuple[str, bytes]]) -> None:
        """Keeps local features of images whose rows came without them.

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

    async def backlog(self) -> Backlog:
        """What waits; cheap, whatever the size of the catalogue."""
        ...

    async def write(self, batch: Batch, progress: Progress | None = None) -> int:
        """Adds or replaces the rows of a batch, and writes an import's progress, all in one transaction.

        Returns how many products were added or changed; the import's `products_written` grows by them. What is the
        same as before keeps its times. Images become pending unless nothing about them changed; a product whose
        style or category changes makes its pictures pending. Closed offers become open, and the import counts them.
        NotFoundError if something refers to what exists neither before nor in the batch; PreconditionError if the
        import's lease is not (any more) the owner's: some other process has taken over.
        """
        ...

    async def close_offers(self, offer_ids: Collection[str], progress: Progress, *, changed_before: datetime) -> int:
        """Closes those of these offers that are open and have not been changed since then; they are not available.

        Returns how many it was; the import's `offers_closed` grows by them. PreconditionError as in `write`.
        """
        ...

    async def describe(
        self, product_ids: Sequence[str], *, max_articles: int
    ) -> tuple[list[Description], list[Article]]:
        """Products with style and offers in the order asked for, without unknown ones; and articles, best first.

        Articles are those about the first product found or one of its style, by score, those about itself before
        others, then the latest first; then those of its category (or of none) whose title shares words with its
        title, best first.
        """
        ...

    async def record_gap(self, gap: Gap) -> None:
        """Keeps a gap. Repeating changes nothing."""
        ...

    async def erase_scans(self, *, before: datetime) -> int:
        """Erases gaps that were scanned, and feedback that was given, before then; how many of both."""
        ...

    async def list_gaps(
        self,
        *,
        before: GapPlace | None,
        limit: int,
        category: str = "",
        state: GapState | None = None,
        cluster_id: str = "",
        by_demand: bool = False,
        without: Collection[str] = ("vector",),
    ) -> list[Gap]:
        """Gaps, the newest first, or those of the cluster with the most demand first; those after the one at `before`.

        `comment` is the user's feedback on the scan, if there was one. without: those of crop, vector and demand that
        are left out, which is faster; a list by demand has it. cluster_id: a gap without a cluster is one of its own,
        by its scan_id.
        """
        ...

    async def cluster_gaps(self, clusters: Mapping[str, str]) -> None:
        """Sets clusters by scan; "": none. Gaps that do not exist are left out."""
        ...

    async def record_replays(self, replay_id: str, replays: Mapping[str, Replay]) -> None:
        """Keeps what a run's replays of gaps came to, by scan, and counts what the run has left, by category.

        Gaps that do not exist are left out; a product that does not exist was not found. A closed gap that is found
        again keeps what closed it.
        """
        ...

    async def list_coverage(
        self, *, before: tuple[datetime, str, str] | None, limit: int, category: str = ""
    ) -> list[Coverage]:
        """What replay runs left, the last one first; those after the one with this update time, run and category."""
        ...

    async def record_feedback(self, feedback: Feedback) -> None:
        """Keeps a user's word; a second word on the same scan replaces the first."""
        ...

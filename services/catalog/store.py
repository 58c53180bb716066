"""The port to the catalogue's facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.catalog.coverage import Coverage, Feedback, Gap, GapPlace, GapState, Replay
from services.catalog.image_store import ImageStore
from services.catalog.ledger import ImportLedger
from services.catalog.resources import (
    Article,
    Backlog,
    Batch,
    Description,
    Offer,
    Product,
    Progress,
    ReferenceImage,
    Style,
)


class CatalogStore(ImageStore, ImportLedger, Protocol):
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

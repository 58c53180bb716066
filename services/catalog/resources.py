"""What a catalogue consists of. Times are aware datetimes in UTC; an empty string is a fact that is not known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Style:
    """Products of the same design (同款)."""

    style_id: str
    title: str
    category: str
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """One article that merchants sell (SKU)."""

    product_id: str
    title: str
    category: str
    style_id: str = ""
    brand: str = ""
    description: str = ""
    gtin: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReferenceImage:
    """A merchant's picture of a product.

    `index_time` is None while the index does not hold this picture as it stands here: it waits for an `Indexer`.
    """

    image_id: str
    product_id: str
    uri: str = ""
    sha256: str = ""
    width: int = 0
    height: int = 0
    model: str = ""
    """The model that made the vector, as name@version."""
    index_time: datetime | None = None
    create_time: datetime | None = None
    revision: int = 0
    """Set by the store: counts the changes of this row, so that a writer notices that another one was faster."""
    vector: bytes = field(default=b"", repr=False)
    """Little-endian float32, unit length. Kept so that the index can be rebuilt. Empty in what the store returns."""
    local_features: bytes = field(default=b"", repr=False)
    """Of the product in it (shiwu/vision/local_features.py); empty: not known. Empty in what the store returns."""
    others: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    """Models and vectors of the same picture by other versions of the model. Empty in what the store returns."""


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """What the index needs to know of a reference image; `revision` is that of the image."""

    image_id: str
    product_id: str
    style_id: str
    category: str
    model: str
    vector: bytes = field(repr=False)
    revision: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A merchant's price for a product."""

    offer_id: str
    product_id: str
    merchant: str
    price: Decimal
    """Not negative, at most nine decimals."""
    currency: str
    """ISO 4217."""
    url: str = ""
    available: bool = False
    update_time: datetime | None = None
    close_time: datetime | None = None
    """When a complete feed of the merchant did not name it any more; None while it is open."""


@dataclass(frozen=True, slots=True)
class Article:
    """Encyclopedia or news about things."""

    article_id: str
    title: str
    body: str = ""
    url: str = ""
    category: str = ""
    product_ids: tuple[str, ...] = ()
    product_scores: tuple[float, ...] = ()
    """How sure it is about each of `product_ids`, above 0 to 1; empty: 1 for all."""
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """What an answer needs to know of one product."""

    product: Product
    style: Style | None
    offers: tuple[Offer, ...]
    """Available ones first, then by currency, then the cheapest first."""


class State(StrEnum):
    """Where an import stands."""

    RUNNING = "running"
    """Asked for; some process works on it, or will."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Operation:
    """An import's row in the ledger."""

    operation_id: str
    feed_uri: str
    format: str
    """csv, tsv, jsonl or xml."""
    default_merchant: str = ""
    complete: bool = False
    """Whether the feed is all that its merchants offer."""
    force: bool = False
    """Whether it closes offers however many they are."""
    pictures_uri: str = ""
    """Folder of its pictures' paths; empty: the feed's."""
    feed_sha256: str = ""
    """Of the feed's file when work on it began, hexadecimal: `rows_done` means nothing in another file."""
    state: State = State.RUNNING
    error: str = ""
    """Why it failed, for the caller."""
    cancel_requested: bool = False
    rows_total: int = 0
    rows_done: int = 0
    """Rows finished, well or badly: counted from the start of the feed, so a resumed import continues after them."""
    rows_failed: int = 0
    products_written: int = 0
    images_indexed: int = 0
    images_unchanged: int = 0
    offers_closed: int = 0
    offers_reopened: int = 0
    closing_refused: str = ""
    """Why a complete feed closed nothing of some merchant, or at all."""
    errors_path: str = ""
    index_time: datetime | None = None
    create_time: datetime | None = None
    update_time: datetime | None = None
    lease_owner: str = ""
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row of a feed was not imported."""

    row: int
    """Line of the feed, from 1; a header is line 1."""
    field: str
    """The column that is wrong; empty if the row as a whole is."""
    problem: str
    content: str = ""
    """The row itself, as JSON."""


@dataclass(frozen=True, slots=True)
class ImageState:
    """What a web server calls the state of a picture's file, for asking later whether it has changed."""

    image_id: str
    sha256: str
    """Of the file in this state, hexadecimal."""
    etag: str
    last_modified: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to add or replace together. Of two with the same key the later one counts."""

    styles: tuple[Style, ...] = ()
    products: tuple[Product, ...] = ()
    offers: tuple[Offer, ...] = ()
    images: tuple[ReferenceImage, ...] = ()
    """With their vectors; they wait for an `Indexer` afterwards."""
    states: tuple[ImageState, ...] = ()
    """Left out are those of pictures that are gone, or are others by now."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, and what the imports that are remembered have come to."""

    images_pending: int
    """Pictures that the index does not hold as they stand here."""
    pending_since: datetime | None
    """When the one that waits longest was added or changed; None: none waits."""
    imports_running: int
    rows_imported: int
    rows_failed: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import has come, written in the same transaction as what it wrote."""

    operation_id: str
    owner: str
    """Who holds the lease."""
    rows_total: int | None = None
    """None: as it was."""
    rows_done: int | None = None
    """None: as it was."""
    feed_sha256: str | None = None
    """None: as it was."""
    closing_refused: str | None = None
    """None: as it was."""
    images_unchanged: int = 0
    """Added to those known."""
    problems: tuple[RowProblem, ...] = ()
    """Added to those known; repeating one changes nothing. `rows_failed` follows from them."""

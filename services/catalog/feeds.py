"""Product feeds: what their columns mean. Pure: reads what it is given, knows neither network nor database.

Two kinds of columns are understood, by the header (in JSON lines and XML by each row's own):

- our own: product_id title category [style_id style_title brand description gtin images image merchant price currency
  url available offer_id]. `images` (or `image`) is a JSON list or separated by "|".
- Google's product feed: id title (google_product_category | product_type) [description link image_link
  additional_image_link availability price sale_price brand gtin item_group_id merchant].

Other columns are ignored. A row with a price makes an offer, of its `merchant` or else the feed's default merchant.
Several rows may have the same product: each adds an offer of another merchant; the first of them states the product.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import IO, Final

from services.catalog import feed_fields as fields
from services.catalog.feed_lines import FeedError
from services.catalog.feed_reading import FeedFormat, read_header, read_records
from services.catalog.feed_records import FieldError, Record
from services.catalog.prepared import Prepared, prepared
from services.catalog.resources import Offer, Product, RowProblem, Style

_PRICE: Final = "price"
_MERCHANT: Final = "merchant"
_OWN: Final = ("product_id", "title", "category")
_GOOGLE: Final = ("id", "title", "google_product_category")
_EXPECTED: Final = (
    f"expected at least {', '.join(_OWN)}; or, as in Google's feeds, {', '.join(_GOOGLE)} (or product_type)"
)


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One row of a feed, understood."""

    record: Record
    product: Product
    style: Style | None
    offer: Offer | None
    images: tuple[str, ...]
    """Paths relative to the feed, or http and https addresses; each once."""
    image_field: str
    """The column that they came from, for reports."""
    prepared: Mapping[str, Prepared] = field(default_factory=dict)
    """By the image, what was made of it already."""


@dataclass(frozen=True, slots=True)
class RowKeys:
    """The keys of a row; each begins with what it is the key of."""

    product: str
    style: str
    merchant: str
    """Product and merchant: no two rows have the same."""
    offer: str
    """Of an offer that the feed itself names: no two rows have the same. Empty if it does not."""


@dataclass(frozen=True, slots=True)
class Feed:
    """How to read a feed."""

    format: FeedFormat
    default_merchant: str = ""
    """Of rows that name none."""

    def check(self, file: IO[bytes]) -> None:
        """Raises FeedError if the header does not fit: what is missing, and what was found instead."""
        columns = read_header(file, self.format)
        if columns is None:
            return
        if missing := _missing(columns):
            found = ", ".join(column for column in columns if column) or "none"
            what = f"{'columns are' if len(missing) > 1 else 'a column is'} missing: {', '.join(missing)}"
            msg = f"{what}; {_EXPECTED}; found: {found[:1000]}"
            raise FeedError(msg)
        if "price" in columns and "merchant" not in columns and not self.default_merchant:
            msg = "the feed has prices but no column merchant; expected the column, or default_merchant in the request"
            raise FeedError(msg)

    def rows(self, file: IO[bytes], now: datetime) -> Iterator[FeedRow | RowProblem]:
        """The rows in their order; a row that cannot be used is a RowProblem. `now` decides about sale prices."""
        for record in read_records(file, self.format):
            yield record if isinstance(record, RowProblem) else self._row(record, now)

    def _row(self, record: Record, now: datetime) -> FeedRow | RowProblem:
        try:
            if missing := _missing(record.values):
                more = f", and so is {', '.join(missing[1:])}" if missing[1:] else ""
                return record.problem(missing[0], f"is missing or empty{more}; {_EXPECTED}")
            read = _own_row if "product_id" in record.values else _google_row
            return read(record, self.default_merchant, now)
        except FieldError as error:
            return record.problem(error.field, error.problem)


def _missing(columns: Iterable[str]) -> list[str]:
    """Which necessary columns are missing."""
    given = set(columns)
    if "id" in given and "product_id" not in given:
        if "product_type" in given:
            given.add("google_product_category")
        return [name for name in _GOOGLE if name not in given]
    return [name for name in _OWN if name not in given]


def _own_row(record: Record, default_merchant: str, now: datetime) -> FeedRow:
    del now
    product_id = fields.key(record, "product_id", required=True)
    category = fields.own_category(record, "category")
    style = None
    if style_id := fields.key(record, "style_id"):
        style = Style(style_id, fields.text(record, "style_title", at_most=500), category)
    product = Product(
        product_id,
        fields.text(record, "title", at_most=500, required=True),
        category,
        style_id=style_id,
        brand=fields.text(record, "brand", at_most=200),
        description=fields.text(record, "description", at_most=10_000),
        gtin=fields.gtin(record, "gtin"),
    )
    available = fields.truth(record, "available", unset=True)
    cost = fields.price(record, "price", "currency")
    offer = _offer(record, product_id, default_merchant, cost, url_column="url", available=available)
    image_field = "images" if "images" in record.values else "image"
    images = fields.check_distinct(image_field, fields.pictures(record, image_field, "|"))
    return FeedRow(record, product, style, offer, images, image_field, prepared(record, images))


def _google_row(record: Record, default_merchant: str, now: datetime) -> FeedRow:
    product_id = fields.key(record, "id", required=True)
    category = fields.google_category(record)
    style_id = fields.key(record, "item_group_id")
    product = Product(
        product_id,
        fields.text(record, "title", at_most=500, required=True),
        category,
        style_id=style_id,
        brand=fields.text(record, "brand", at_most=200),
        description=fields.text(record, "description", at_most=10_000),
        gtin=fields.gtin(record, "gtin"),
    )
    available = fields.availability(record, "availability")
    cost = fields.sale_price(record, now) or fields.price(record, "price")
    offer = _offer(record, product_id, default_merchant, cost, url_column="link", available=available)
    # A comma inside an address is written %2C there, says Google.
    first, more = fields.pictures(record, "image_link", "\n"), fields.pictures(record, "additional_image_link", ",")
    images = fields.check_distinct("additional_image_link" if more else "image_link", first + more)
    style = Style(style_id, "", category) if style_id else None
    return FeedRow(record, product, style, offer, images, "image_link")


def _offer(
    record: Record,
    product_id: str,
    default_merchant: str,
    cost: tuple[Decimal, str] | None,
    *,
    url_column: str,
    available: bool,
) -> Offer | None:
    url = fields.url(record, url_column)
    offer_id = fields.key(record, "offer_id")
    merchant = _merchant(record, default_merchant)
    if cost is None:
        named = next((name for name in ("merchant", "offer_id") if record.text(name)), "")
        if named:
            raise FieldError(_PRICE, f"is empty, but {named} asks for an offer; expected a price like '12.99 USD'")
        return None
    if not merchant:
        raise FieldError(_MERCHANT, "is empty, but there is a price; expected who asks it, or default_merchant")
    amount, currency = cost
    return Offer(offer_id or _offer_id(product_id, merchant), product_id, merchant, amount, currency, url, available)


def named_offer(record: Record, default_merchant: str) -> tuple[str, str] | None:
    """The merchant and the id of the offer that a row is about, be the row otherwise good or bad; None: of none."""
    values = record.values
    product_id = values.get("product_id") or values.get("id")
    merchant = values.get("merchant") or default_merchant
    if not (isinstance(product_id, str) and isinstance(merchant, str) and merchant):
        return None
    if not (values.get(_PRICE) or ("product_id" not in values and values.get("sale_price"))):
        return None
    return merchant, str(values.get("offer_id") or _offer_id(product_id, merchant))


def _merchant(record: Record, default_merchant: str) -> str:
    return fields.text(record, "merchant", at_most=200) or default_merchant


def _offer_id(product_id: str, merchant: str) -> str:
    """The same for the same merchant and product in every feed, so that a later feed changes the offer."""
    return "offer-" + hashlib.sha256(f"{product_id}\0{merchant}".encode()).hexdigest()[:32]


def row_keys(record: Record, default_merchant: str) -> RowKeys:
    """What may stand in a feed only once, or what the first row that names it decides."""
    product_id = str(record.values.get("product_id") or record.values.get("id") or "")
    return RowKeys(
        product=f"product {product_id}",
        style=f"style {record.values.get('style_id') or record.values.get('item_group_id') or ''}",
        merchant=f"merchant {product_id} {record.values.get('merchant') or default_merchant}",
        offer=f"offer {record.values['offer_id']}" if "offer_id" in record.values else "",
    )

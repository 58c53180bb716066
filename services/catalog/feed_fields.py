"""The values of a feed's columns: each function understands one kind of value or says what it expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit

from services.catalog.currencies import CURRENCIES
from services.catalog.feed_records import FieldError, Record
from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import InvalidInputError
from shiwu.google_taxonomy import category_of
from shiwu.wire.ids import check_id

_AMOUNT: Final = re.compile(r"(?:[0-9]{1,12}|[0-9]{1,3}(?:,[0-9]{3}){1,3})(?:\.[0-9]{1,9})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_GTIN: Final = re.compile(r"[0-9]{8,14}")
_PRINTABLE: Final = re.compile(r"[^\x00-\x20\x7f]+")
_MAX_URL: Final = 2048
_GOOGLE_CATEGORY: Final = "google_product_category"
_GOOGLE_TYPE: Final = "product_type"
_SALE_PERIOD: Final = "sale_price_effective_date"
_TRUTH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_AVAILABILITY: Final = {"in_stock": True, "out_of_stock": False, "preorder": False, "backorder": False}
"""Google's values. Whether the merchant can deliver: what is only promised it cannot."""


def text(record: Record, column: str, *, at_most: int, required: bool = False) -> str:
    """The column's text, at most so many characters."""
    value = record.text(column)
    if required and not value:
        raise FieldError(column, f"is empty; expected 1 to {at_most:,} characters")
    if len(value) > at_most:
        raise FieldError(column, f"has {len(value):,} characters; at most {at_most:,} are allowed")
    return value


def key(record: Record, column: str, *, required: bool = False) -> str:
    """An id: 1 to 128 printable characters without white space."""
    value = record.text(column)
    if not value and not required:
        return ""
    try:
        return check_id(value, column)
    except InvalidInputError as error:
        raise FieldError(column, str(error).removeprefix(f"{column}: ")) from error


def own_category(record: Record, column: str) -> str:
    """One of our categories."""
    value = record.text(column).lower()
    if value not in CATEGORIES:
        raise FieldError(column, f"{value[:100]!r} is not a category; expected one of {', '.join(CATEGORIES)}")
    return value


def google_category(record: Record) -> str:
    """Our category for a row of a Google feed: from Google's taxonomy, else from the merchant's own product_type."""
    node = record.text(_GOOGLE_CATEGORY)
    if node:
        if category := category_of(node):
            return category
        expected = "expected a path like 'Apparel & Accessories > Shoes' of Google's taxonomy, or the id of a main node"
        raise FieldError(_GOOGLE_CATEGORY, f"{node[:200]!r} is not known; {expected}")
    kind = record.text(_GOOGLE_TYPE)
    if kind.lower() in CATEGORIES:
        return kind.lower()
    if category := category_of(kind):
        return category
    raise FieldError(
        _GOOGLE_TYPE,
        f"{kind[:200]!r} does not tell the category; expected google_product_category, or a product_type that is a "
        f"path of Google's taxonomy or one of {', '.join(CATEGORIES)}",
    )


def price(record: Record, column: str, currency_column: str = "") -> tuple[Decimal, str] | None:
    """An amount and its ISO 4217 currency, from "12.99 USD" or from two columns; None if there is no price.

    Thousands may be set apart by commas. A currency sign is refused: "$" is the dollar of two dozen countries.
    """
    value = record.text(column)
    named = record.text(currency_column) if currency_column else ""
    if not value:
        return None
    first, _, second = value.partition(" ")
    amount, own = (second.strip(), first) if _CURRENCY.fullmatch(first) else (first, second.strip())
    if not _AMOUNT.fullmatch(amount):
        raise FieldError(
            column, f"{value[:100]!r} is not a price; expected a number like 1299.00 or 1,299.00{_hint(value)}"
        )
    currency = own or named
    if not currency:
        where = (
            f"in the column {currency_column}, or in the price: '12.99 USD'" if currency_column else "as in '12.99 USD'"
        )
        raise FieldError(currency_column or column, f"the price {value[:100]!r} has no currency; expected one {where}")
    if currency not in CURRENCIES:
        where = column if own else currency_column
        raise FieldError(where, f"{currency[:100]!r} is not a currency; expected an ISO 4217 code like USD")
    if own and named and own != named:
        raise FieldError(currency_column, f"is {named[:100]!r}, but the price says {own}")
    return Decimal(amount.replace(",", "")), currency


def _hint(value: str) -> str:
    if value.startswith("-"):
        return ", not below zero"
    if re.search(r"[$€£¥₹]", value):
        return " and the currency as its ISO 4217 code, as in '12.99 USD'"
    if re.search(r",[0-9]{1,2}(?:[^0-9]|$)", value):
        return ", with a point before the decimals"
    return ""


def sale_price(record: Record, now: datetime) -> tuple[Decimal, str] | None:
    """Google's sale price, if there is one and its sale_price_effective_date (start/end, ISO 8601) includes `now`."""
    period = record.text(_SALE_PERIOD)
    if period:
        try:
            start, end = (datetime.fromisoformat(part) for part in period.split("/"))
            if not start <= now <= end:
                return None
        except (ValueError, TypeError) as error:
            expected = "expected start/end with time zones, like 2026-02-24T11:00-0800/2026-02-29T23:00-0800"
            raise FieldError(_SALE_PERIOD, f"{period[:100]!r} is not a period; {expected}") from error
    return price(record, "sale_price")


def url(record: Record, column: str) -> str:
    """An http or https address; empty if there is none."""
    value = record.text(column)
    if value and (problem := url_problem(value)):
        raise FieldError(column, f"{value[:200]!r} {problem}; expected an address like https://shop.example/item")
    return value


def url_problem(value: str) -> str:
    """Why this is not an http or https address; empty if it is."""
    if len(value) > _MAX_URL:
        return f"is longer than {_MAX_URL:,} characters"
    if not _PRINTABLE.fullmatch(value):
        return "contains white space or control characters"
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        return f"is not an address ({error})"
    if parts.scheme.lower() not in ("http", "https"):
        return "does not begin with http:// or https://"
    if not parts.hostname:
        return "has no host"
    return ""


def gtin(record: Record, column: str) -> str:
    """A global trade item number; empty if there is none."""
    value = record.text(column)
    if value and not _GTIN.fullmatch(value):
        raise FieldError(column, f"{value[:100]!r} is not a GTIN; expected 8 to 14 digits")
    return value


def truth(record: Record, column: str, *, unset: bool) -> bool:
    """True or false."""
    return _choice(record, column, _TRUTH, unset=unset)


def availability(record: Record, column: str) -> bool:
    """Google's availability; unset means in stock."""
    return _choice(record, column, _AVAILABILITY, unset=True)


def _choice(record: Record, column: str, meanings: Mapping[str, bool], *, unset: bool) -> bool:
    value = record.text(column).lower().replace(" ", "_")
    if not value:
        return unset
    if value not in meanings:
        raise FieldError(column, f"{value[:100]!r} is not understood; expected one of {', '.join(meanings)}")
    return meanings[value]


def pictures(record: Record, column: str, separator: str) -> tuple[str, ...]:
    """Where the pictures are: a list in JSON, else text with `separator` between them."""
    value = record.values.get(column, "")
    items = value if isinstance(value, list) else [item.strip() for item in value.split(separator)] if value else []
    for item in items:
        _check_picture(column, item)
    return tuple(items)


def check_distinct(column: str, images: tuple[str, ...]) -> tuple[str, ...]:
    """The images, if each stands there once."""
    for index, image in enumerate(images):
        if image in images[:index]:
            raise FieldError(column, f"{image[:200]!r} is listed twice; expected each picture once")
    return images


def _check_picture(column: str, item: str) -> None:
    if not item:
        raise FieldError(column, "has an empty entry between two separators; expected a path or an address")
    if len(item) > _MAX_URL:
        raise FieldError(column, f"has an entry of {len(item):,} characters; at most {_MAX_URL:,} are allowed")
    scheme, colon, _ = item.partition("://")
    if not colon:
        return
    if problem := url_problem(item):
        hint = "paths are relative to the feed" if scheme.lower() == "file" else "expected a path or an http(s) address"
        raise FieldError(column, f"{item[:200]!r} {problem}; {hint}")

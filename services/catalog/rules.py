"""What the contract says about the fields of resources, as tables: a field's name, and the rule that it must obey.

A rule takes the field's value and its path in the request, and returns the value for the resource; a mapping if the
field is more than one there. It raises InvalidInputError, which says what is wrong and what is expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from google.type.money_pb2 import Money

from services.catalog.currencies import CURRENCIES
from shiwu.chassis.errors import InvalidInputError
from shiwu.wire.categories import check_category
from shiwu.wire.ids import check_id

Rule = Callable[[Any, str], Any]

_MOST_NANOS = 999_999_999
_LONGEST_URL = 2_048


def text(most: int, least: int = 0) -> Rule:
    """Text of so many characters."""

    def check(value: str, field: str) -> str:
        if not least <= len(value) <= most:
            wanted = f"{least:,} to {most:,}" if least else f"at most {most:,}"
            msg = f"has {len(value):,} characters; expected {wanted}"
            raise InvalidInputError(msg, field=field)
        if "\x00" in value:
            msg = "contains a NUL character; expected text"
            raise InvalidInputError(msg, field=field)
        if least and not value.strip():
            msg = "is white space only; expected text"
            raise InvalidInputError(msg, field=field)
        return value

    return check


def optional(rule: Rule) -> Rule:
    """Empty, or as `rule` says."""
    return lambda value, field: rule(value, field) if value else value


def gtin(value: str, field: str) -> str:
    """A global trade item number."""
    if not re.fullmatch(r"[0-9]{8,14}", value):
        msg = f"is {value[:40]!r}; expected 8 to 14 digits"
        raise InvalidInputError(msg, field=field)
    return value


def web_address(value: str, field: str) -> str:
    """An http or https address."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or len(value) > _LONGEST_URL or any(c.isspace() or not c.isprintable() for c in value):
        msg = f"is {value[:100]!r}; expected an http or https address of at most {_LONGEST_URL:,} characters"
        raise InvalidInputError(msg, field=field)
    return value


def price(value: Money, field: str) -> Mapping[str, object]:
    """An amount that is not negative, in a currency of ISO 4217."""
    if value.currency_code not in CURRENCIES:
        msg = f"is {value.currency_code[:20]!r}; expected a currency of ISO 4217, like 'EUR'"
        raise InvalidInputError(msg, field=f"{field}.currency_code")
    if value.units < 0:
        msg = f"is {value.units}; expected an amount that is not negative"
        raise InvalidInputError(msg, field=f"{field}.units")
    if not 0 <= value.nanos <= _MOST_NANOS:
        msg = f"is {value.nanos}; expected 0 to {_MOST_NANOS:,}"
        raise InvalidInputError(msg, field=f"{field}.nanos")
    return {"price": Decimal(value.units) + Decimal(value.nanos).scaleb(-9), "currency": value.currency_code}


def product_ids(values: Iterable[str], field: str) -> tuple[str, ...]:
    """At most 1,000 keys, each once."""
    keys = tuple(values)
    if len(keys) > 1000:
        msg = f"has {len(keys):,} products; expected at most 1,000"
        raise InvalidInputError(msg, field=field)
    for position, key in enumerate(keys):
        check_id(key, f"{field}[{position}]")
    if len(set(keys)) < len(keys):
        twice = next(key for position, key in enumerate(keys) if key in keys[:position])
        msg = f"names {twice!r} twice; expected each product once"
        raise InvalidInputError(msg, field=field)
    return keys


def product_scores(values: Iterable[float], field: str) -> tuple[float, ...]:
    """Numbers above 0 and up to 1."""
    scores = tuple(values)
    for position, score in enumerate(scores):
        if not 0 < score <= 1:
            msg = f"is {score:g}; expected above 0 to 1"
            raise InvalidInputError(msg, field=f"{field}[{position}]")
    return scores


def as_is(value: Any, _field: str) -> Any:
    """Any value that the field's type allows."""
    return value


def share(value: float, field: str) -> float:
    """A number from 0 to 1."""
    if not (math.isfinite(value) and 0 <= value <= 1):
        msg = f"is {value:g}; expected 0 to 1"
        raise InvalidInputError(msg, field=field)
    return value


STYLE: Final[Mapping[str, Rule]] = {"style_id": check_id, "title": text(500), "category": check_category}
PRODUCT: Final[Mapping[str, Rule]] = {
    "product_id": check_id,
    "style_id": optional(check_id),
    "title": text(500, 1),
    "brand": text(200),
    "category": check_category,
    "description": text(10_000),
    "gtin": optional(gtin),
}
OFFER: Final[Mapping[str, Rule]] = {
    "offer_id": check_id,
    "product_id": check_id,
    "merchant": text(200, 1),
    "price": price,
    "url": optional(web_address),
    "available": as_is,
}
ARTICLE: Final[Mapping[str, Rule]] = {
    "article_id": check_id,
    "title": text(500, 1),
    "body": text(100_000),
    "url": optional(web_address),
    "category": optional(check_category),
    "product_ids": product_ids,
    "product_scores": product_scores,
}
REFERENCE_IMAGE: Final[Mapping[str, Rule]] = {"image_id": check_id, "product_id": check_id, "uri": text(_LONGEST_URL)}
GAP: Final[Mapping[str, Rule]] = {
    "scan_id": check_id,
    "category": check_category,
    "confidence": share,
    "comment": text(2_000),
    "refused_product_id": optional(check_id),
}
CLUSTERED_GAP: Final[Mapping[str, Rule]] = {"scan_id": check_id, "cluster_id": optional(check_id)}
REPLAYED_GAP: Final[Mapping[str, Rule]] = {
    "product_id": optional(check_id),
    "found": as_is,
    "confidence": share,
    "model": text(200),
}


def facts(message: Any, field: str, rules: Mapping[str, Rule], names: Iterable[str] | None = None) -> dict[str, Any]:
    """A message's fields as a resource has them; all that the rules name, or `names` of them.

    field: the message's path in the request, "" for the request itself. What the rules do not name (output only
    fields) is ignored.
    """
    found: dict[str, Any] = {}
    for name in rules if names is None else names:
        value = rules[name](getattr(message, name), f"{field}.{name}" if field else name)
        found |= value if isinstance(value, Mapping) else {name: value}
    return found

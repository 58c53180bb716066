"""The price of a schema.org product: of its Offers, an AggregateOffer, or a PriceSpecification."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

_POINT: Final = re.compile(r"(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]{1,9})?")
_COMMA: Final = re.compile(r"(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+),[0-9]{1,2}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_AVAILABLE: Final = frozenset({"instock", "limitedavailability", "onlineonly", "instoreonly"})
_DEEPEST: Final = 4


@dataclass(frozen=True, slots=True)
class Price:
    """What the shop asks."""

    amount: str
    """As a feed has it, with a point before the decimals."""
    currency: str
    """ISO 4217."""
    available: bool


def price_of(offers: Any) -> Price | None:
    """The cheapest price, of what is in stock if anything is, in the currency that is named first; None: there is none.

    Something of which the page does not say whether it is in stock is.
    """
    prices = list(_prices(offers, "", available=True, depth=0))
    if not prices:
        return None
    alike = [price for price in prices if price.currency == prices[0].currency]
    return min(alike, key=lambda price: (not price.available, Decimal(price.amount)))


def amount_of(value: Any) -> str:
    """A price above zero as text with a point before the decimals; empty if it is not one, or not clearly."""
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if _COMMA.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    elif _POINT.fullmatch(text):
        text = text.replace(",", "")
    else:
        return ""
    return text if Decimal(text) > 0 and len(text) <= 21 and len(text.partition(".")[0]) <= 12 else ""


def _prices(node: Any, currency: str, *, available: bool, depth: int) -> Iterator[Price]:
    if depth > _DEEPEST:
        return
    if isinstance(node, list):
        for each in node:
            yield from _prices(each, currency, available=available, depth=depth + 1)
    if not isinstance(node, dict):
        return
    currency = str(_first(node.get("priceCurrency")) or currency).strip().upper()
    if stock := str(_name(_first(node.get("availability"))) or ""):
        available = re.split(r"[/#:]", stock)[-1].replace("_", "").replace(" ", "").lower() in _AVAILABLE
    inner = [
        price
        for key in ("offers", "priceSpecification")
        for price in _prices(node.get(key), currency, available=available, depth=depth + 1)
    ]
    own = next((amount for key in ("price", "lowPrice") if (amount := amount_of(_first(node.get(key))))), "")
    if own and _CURRENCY.fullmatch(currency) and (not inner or "price" in node):
        yield Price(own, currency, available)
    else:
        yield from inner


def _first(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, list) else value


def _name(value: Any) -> Any:
    return value.get("@id") or value.get("name") if isinstance(value, dict) else value

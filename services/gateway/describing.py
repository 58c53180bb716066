"""Asking for the facts of what the answer will probably name while the vote is still under way.

Most votes only confirm what the nearest pictures say, so that the catalogue's answer is there when it is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

from services.gateway.ports import Catalog
from shiwu.chassis.abandoning import abandon

F = TypeVar("F")


class EarlyFacts(Generic[F]):
    """A question to the catalogue under way. Abandon it when the scan ends."""

    def __init__(self, catalog: Catalog[F], products: Sequence[str], *, max_articles: int, seconds: float) -> None:
        """products: the likeliest first; at least one."""
        self._products = products
        self._asked = asyncio.ensure_future(catalog.describe(products, max_articles=max_articles, seconds=seconds))

    def cover(self, products: Sequence[str]) -> bool:
        """Whether the facts are those of all these products, with articles about the first of them."""
        return products[0] == self._products[0] and set(products) <= set(self._products)

    async def get(self) -> F:
        """What the catalogue says. Raises what `Catalog.describe` raises."""
        # Shielded: a scan that is cancelled must not cancel the call.
        return await asyncio.shield(self._asked)

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        abandon(self._asked)

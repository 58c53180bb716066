"""Offers that a complete feed of their merchant does not name any more are closed; the feed that names them again opens
them (`CatalogStore.write`).

A feed that has shrunk by an accident at the merchant's must not empty the shop: where more than half of a merchant's
offers would go, or where rows cannot be read so that nobody knows what they name, nothing is closed unless forced. A
row that is bad for another reason still names its offer.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.catalog.feed_lines import FeedError
from services.catalog.feed_reading import read_records
from services.catalog.feed_survey import fingerprint, key_hash
from services.catalog.feeds import Feed, named_offer
from services.catalog.resources import Progress, RowProblem
from services.catalog.store import CatalogStore

_SHARE: Final = 0.5
"""Of a merchant's offers: at most so many vanish from one feed to the next."""
_MOST_MERCHANTS: Final = 1000
_PAGE: Final = 1000
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Named:
    """What a feed names."""

    merchants: tuple[str, ...]
    offers: NDArray[np.uint64]
    """Sorted hashes of the offers' ids: 8 bytes each, so that millions of rows do not fill the memory. An offer whose
    hash is another one's by chance stays open."""
    unreadable: int
    """Rows of which nobody knows what they name."""

    def lacks(self, offer_ids: Sequence[str]) -> list[str]:
        """Those of these offers that are not named."""
        hashes = np.array([key_hash(each) for each in offer_ids], np.uint64)
        at = np.minimum(np.searchsorted(self.offers, hashes), max(0, len(self.offers) - 1))
        named = self.offers[at] == hashes if len(self.offers) else np.zeros(len(hashes), bool)
        return [each for each, is_named in zip(offer_ids, named, strict=True) if not is_named]


def names_of(path: Path, feed: Feed, sha256: str) -> Named:
    """Reads what the feed names. Raises FeedError if it is not the file with this SHA-256."""
    merchants: set[str] = set()
    hashes = array("Q")
    unreadable = 0
    with path.open("rb") as file:
        for record in read_records(file, feed.format):
            if isinstance(record, RowProblem):
                unreadable += 1
            elif named := named_offer(record, feed.default_merchant):
                merchant, offer_id = named
                merchants.add(merchant)
                hashes.append(key_hash(offer_id))
                if len(merchants) > _MOST_MERCHANTS:
                    msg = f"a complete feed may name {_MOST_MERCHANTS:,} merchants; this one names more"
                    raise FeedError(msg)
    if fingerprint(path) != sha256:
        msg = "the feed has changed since the import began, so nothing was closed; import it again"
        raise FeedError(msg)
    offers = np.unique(np.frombuffer(hashes, np.uint64)) if hashes else np.empty(0, np.uint64)
    return Named(tuple(sorted(merchants)), offers, unreadable)


class Closing:
    """Closes the offers of a feed's merchants that the feed does not name. Repeating it completes it."""

    def __init__(self, store: CatalogStore, named: Named) -> None:
        self._store = store
        self._named = named

    async def suspicious(self) -> dict[str, str]:
        """Merchants of which too many offers would be closed, and why that is so; "" if it is so of all."""
        if self._named.unreadable:
            return {"": f"{self._named.unreadable:,} rows cannot be read, so nobody knows which offers they name"}
        found: dict[str, str] = {}
        for merchant in self._named.merchants:
            count = gone = 0
            async for offers in self._open(merchant):
                count += len(offers)
                gone += len(self._named.lacks(offers))
            if gone > _SHARE * count:
                found[merchant] = f"the feed lacks {gone:,} of the {count:,} open offers of {merchant!r}"
        return found

    async def close(self, but: dict[str, str], progress: Progress, *, changed_before: datetime) -> None:
        """Closes what is not named, of all merchants but these, unless it was changed since then."""
        for merchant in self._named.merchants if "" not in but else ():
            if merchant not in but:
                async for offers in self._open(merchant):
                    if gone := self._named.lacks(offers):
                        await self._store.close_offers(gone, progress, changed_before=changed_before)

    async def _open(self, merchant: str) -> AsyncIterator[list[str]]:
        last = ""
        while offers := await self._store.open_offers(merchant, after=last, limit=_PAGE):
            yield offers
            last = offers[-1]


def refusal(suspicious: dict[str, str]) -> str:
    """What was not closed, and why, for people; empty if everything was."""
    if not suspicious:
        return ""
    reasons = list(suspicious.values())
    more = [f"and so on, {len(reasons):,} merchants in all"] if len(reasons) > _SHOWN else []
    return f"not closed: {'; '.join([*reasons[:_SHOWN], *more])}; if that is right, import the feed with force"

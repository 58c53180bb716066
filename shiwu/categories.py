"""The product categories that a catalogue, a shard map and a detector speak of."""

from __future__ import annotations

from typing import Final

CATEGORIES: Final = (
    "shoes",
    "bags",
    "beauty",
    "clothing",
    "appliances",
    "toys",
    "books",
    "food",
    "jewellery",
    "furniture",
    "other",
)

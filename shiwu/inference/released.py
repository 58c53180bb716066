"""The released models that run where settings name no others: folders of models/, and names in manifests."""

from __future__ import annotations

from typing import Final

DETECTOR: Final = "detector-lite0"
EMBEDDER: Final = "embedder-lite0"

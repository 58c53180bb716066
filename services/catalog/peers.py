"""The ports to the services that the catalogue needs: what it asks of them, in its own terms."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from shiwu.vision.resize import Image
from shiwu.wire.models import EmbeddingModel, FoundObject


class Detector(Protocol):
    """Finds products. Raises UnavailableError, OverloadedError, DeadlineError."""

    async def detect(self, image: Image) -> list[FoundObject]:
        """The products in an RGB picture, best first."""
        ...


class Embedder(Protocol):
    """Turns crops into vectors. Raises UnavailableError, OverloadedError, DeadlineError."""

    async def models(self) -> list[EmbeddingModel]:
        """The models, the default one first; at least one."""
        ...

    async def embed(self, crops: Sequence[Image], model: str) -> list[bytes]:
        """A vector for each crop, little-endian float32.

        NotFoundError if the model is not (any more) among `models`.
        """
        ...


class Index(Protocol):
    """Keeps the search index in line with the catalogue's rows. Raises UnavailableError, DeadlineError."""

    async def index(self, image_ids: Collection[str], *, operation_id: str = "") -> datetime:
        """Makes searches find these images as their rows say; returns the moment from which on they do."""
        ...

    async def find_missing(self, image_ids: Collection[str], model: str) -> frozenset[str]:
        """Those of these images that the index of this model does not hold, whatever their rows say."""
        ...

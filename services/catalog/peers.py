"""The ports to the services that the catalogue needs: what it asks of them, in its own terms."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shiwu.vision.resize import Image


@dataclass(frozen=True, slots=True)
class FoundObject:
    """A thing in a picture."""

    box: tuple[float, float, float, float]
    """x_min, y_min, x_max, y_max in shares of the picture."""
    score: float
    """How sure the detector is that a product is there, 0 to 1."""
    category: str
    """Its most likely category."""


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model of the embedder."""

    model: str
    """name@version."""
    categories: tuple[str, ...]
    """Those it is kept for; empty: all that no other model is kept for."""
    crop_margin: float
    """How far a crop reaches beyond its box on each side, as a share of the box's side."""
    input_size: int
    """Longer side of a crop, pixels, that it makes use of."""


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

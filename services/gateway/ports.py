"""What one scan needs of the other services, in the gateway's own terms.

Every call gets the `seconds` that it may take, and raises errors of shiwu.chassis.errors only:
UnavailableError when the service does not answer or answers with nonsense, DeadlineError when it is too late,
OverloadedError when it sheds load, and those that the service's contract names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from shiwu.vision.agreement import Agreement
from shiwu.vision.resize import Image

Vector = NDArray[np.float32]
"""A unit vector, shape (dimension,)."""

Scores = Sequence[tuple[str, float]]
"""Category and score, highest first."""


class Box(NamedTuple):
    """A rectangle in shares of the photo's width and height."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True)
class Detected:
    """A thing that the detector found."""

    box: Box
    score: float
    """How sure it is that a product is there, 0 to 1."""
    categories: Scores
    """Independent scores, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Detection:
    """All of them, highest score first, and the model that found them, as name@version."""

    objects: Sequence[Detected]
    model: str


@dataclass(frozen=True, slots=True)
class EmbedderModel:
    """One of the embedder's models."""

    id: str
    """name@version."""
    dimension: int
    categories: frozenset[str]
    """What it is kept for; empty: all that no other model is kept for."""
    crop_margin: float
    """How far a crop reaches beyond its box on each side, as a share of the box's side."""
    input_size: int
    """Longer side of a crop, pixels, that it makes use of."""


class Hit(Protocol):
    """A catalogue picture near the query; the wire's message as it came is one."""

    @property
    def image_id(self) -> str: ...
    @property
    def product_id(self) -> str: ...
    @property
    def style_id(self) -> str: ...
    @property
    def category(self) -> str: ...
    @property
    def similarity(self) -> float:
        """Cosine, -1 to 1; finite."""
        ...

    @property
    def vector(self) -> bytes:
        """Little-endian float32."""
        ...


@dataclass(frozen=True, slots=True)
class ShardHits:
    """What one shard found, nearest first, or why it did not answer."""

    shard: str
    hits: Sequence[Hit]
    error: str = ""


class Share(NamedTuple):
    """What one neighbour's vote weighed, as a share of the whole vote."""

    image_id: str
    category: str
    share: float


@dataclass(frozen=True, slots=True)
class Vote:
    """The category vote's outcome."""

    categories: Scores
    """A distribution."""
    detector_share: float
    shares: Sequence[Share]


@dataclass(frozen=True, slots=True)
class Gap:
    """A scan that found nothing, or the wrong thing."""

    scan_id: str
    category: str
    """The category voted for; empty if there was no vote."""
    confidence: float
    scan_time: datetime
    crop: bytes
    """A JPEG file; empty if crops are not kept."""
    vector: Vector
    model: str
    refused_product_id: str = ""
    """What it found, if that was wrong."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """A user's word on an answer."""

    scan_id: str
    verdict: Literal["right", "wrong"]
    product_id: str
    comment: str


class Detector(Protocol):
    """Finds products."""

    async def detect(self, photo: Image, *, seconds: float) -> Detection: ...


class Embedder(Protocol):
    """Makes vectors."""

    async def models(self, *, seconds: float) -> Sequence[EmbedderModel]:
        """At least one, the default first."""
        ...

    async def embed(self, crops: Sequence[Image], model: EmbedderModel, *, seconds: float) -> Sequence[Vector]:
        """One for each crop, at least one. Raises NotFoundError if it runs that model no longer."""
        ...


class Index(Protocol):
    """Finds near vectors."""

    async def search(
        self,
        vector: Vector,
        model: str,
        *,
        top_k: int,
        categories: Sequence[str],
        include_vectors: bool,
        seconds: float,
    ) -> Sequence[ShardHits]:
        """The nearest top_k of each shard. categories: only these; empty: all."""
        ...


class Voter(Protocol):
    """Decides the category."""

    async def vote(self, detector: Scores, neighbours: Sequence[Hit], *, seconds: float) -> Vote: ...


Facts_co = TypeVar("Facts_co", covariant=True)


class Catalog(Protocol[Facts_co]):
    """Knows the facts. What it says of products only passes through a scan, so that its type stays open."""

    async def describe(self, product_ids: Sequence[str], *, max_articles: int, seconds: float) -> Facts_co: ...

    async def compare(self, crop: Image, image_ids: Sequence[str], *, seconds: float) -> Mapping[str, Agreement]:
        """What the crop has in common with those of these catalogue pictures that can be compared."""
        ...

    async def record_gap(self, gap: Gap, *, seconds: float) -> None: ...

    async def record_feedback(self, feedback: Feedback, *, seconds: float) -> None: ...

"""What a scan is made by, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, TypeVar

from services.gateway.candidates import StyleHit
from services.gateway.cropping import Choice
from services.gateway.ports import Catalog, Detector, Embedder, Hit, Index, Scores, Vector, Vote, Voter
from services.gateway.progress import Missing
from services.gateway.ranking import Ranking
from shiwu.vision.resize import Image

F = TypeVar("F")

Outcome = Literal["matched", "not_in_catalogue", "undecided"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that each step may take at most."""

    detect: float = 1.5
    embed: float = 1.5
    search: float = 2.5
    """A Milvus node that dies under a search costs up to 1.7 s; then the search is answered."""
    vote: float = 0.5
    compare: float = 2.0
    """It is arithmetic: a catalogue that waits for a core on a busy machine shall not cost the scan its prints."""
    describe: float = 1.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What every scan is made by, apart from what is tuned for each embedder."""

    limits: Limits = Limits()
    centre_share: float = 0.6
    """Part of each side of the photo that is searched when there is no box."""
    look_further: bool = True
    """Search for other parts of the photo where the first one's answer is unsure, if that was tuned."""
    verify: bool = True
    """Compare the prints of the nearest candidates with the photo's, if that was tuned."""
    focus_iou: float = 0.3
    """An object fits the caller's focus if their intersection over union is at least this."""
    search_top_k: int = 100
    """Hits of each shard."""
    vote_mass: float = 0.9
    """Candidates are of the fewest categories that together have this share of the vote: a hedge where it is close."""
    candidates: int = 100
    """Pictures that are re-ranked."""
    max_articles: int = 5


@dataclass(frozen=True)
class Peers(Generic[F]):
    """The other services."""

    detector: Detector
    embedder: Embedder
    index: Index
    voter: Voter
    catalog: Catalog[F]


@dataclass(slots=True)
class Answer(Generic[F]):
    """What is known of the photo; filled in as the scan goes on."""

    choice: Choice
    missing: Sequence[Missing]
    detector_model: str
    """name@version; empty when the detector did not answer."""
    outcome: Outcome = "undecided"
    confidence: float = 0.0
    categories: Scores = ()
    """A distribution: the vote's, or the detector's while there is no vote."""
    vote: Vote | None = None
    candidates: Sequence[Hit] = ()
    """By similarity."""
    ranking: Ranking | None = None
    """Their new order."""
    styles: list[StyleHit] = field(default_factory=list)
    """Best first."""
    facts: F | None = None
    """What the catalogue says of the styles' products; None if it does not answer, or if there are none."""
    embedder_model: str = ""
    """The model whose vectors were compared; empty when the embedder did not answer."""
    index_time: datetime | None = None
    """Everything indexed before was searched; None if a part of the index was not."""
    crop: Image | None = None
    """The pixels that were embedded."""
    vector: Vector | None = None
    """What was searched for."""

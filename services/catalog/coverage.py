"""What scans leave behind: what they did not find, what people said of answers, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """What a user says of an answer."""

    RIGHT = "right"
    WRONG = "wrong"


class GapState(StrEnum):
    """Whether a gap's scan finds an accepted product by now."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Replay:
    """What scanning a gap's crop again came to; of a closed gap, the replay that closed it."""

    replay_id: str
    """The run that replayed it last."""
    product_id: str = ""
    """The best product."""
    found: bool = False
    """Whether it was accepted as the one."""
    confidence: float = 0.0
    model: str = ""
    index_time: datetime | None = None
    replay_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A scan that found nothing in the catalogue, or whose answer the user called wrong."""

    scan_id: str
    category: str
    confidence: float
    scan_time: datetime
    crop: bytes = field(default=b"", repr=False)
    """JPEG file."""
    comment: str = ""
    vector: bytes = field(default=b"", repr=False)
    """Little-endian float32."""
    model: str = ""
    refused_product_id: str = ""
    """The product of the answer that the user called wrong."""
    cluster_id: str = ""
    demand: int = 0
    """Set by the store: open gaps of its cluster, without those whose answer was right."""
    replay: Replay | None = None
    """Set by the store. None: not replayed yet."""
    verdict: Verdict | None = None
    """Set by the store, from the user's feedback."""
    said_product_id: str = ""
    """Set by the store, from the user's feedback."""

    @property
    def state(self) -> GapState:
        closed = self.replay is not None and self.replay.found and self.replay.product_id
        return GapState.CLOSED if closed else GapState.OPEN


class GapPlace(NamedTuple):
    """Where a gap stands in a list, for the page after it. A list of the newest looks at the last two only."""

    demand: int
    cluster: str
    """A gap without a cluster is one of its own, by its scan_id."""
    scan_time: datetime
    scan_id: str

    @classmethod
    def of(cls, gap: Gap) -> GapPlace:
        return cls(gap.demand, gap.cluster_id or gap.scan_id, gap.scan_time, gap.scan_id)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What one replay run left in one category: counts of gaps."""

    replay_id: str
    category: str
    update_time: datetime
    """When the run was last heard of."""
    gaps: int
    without_crop: int
    replayed: int
    """Ever."""
    found: int
    """Closed."""
    closed: int
    """By this run."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """A user's word on the answer to one scan."""

    scan_id: str
    verdict: Verdict
    product_id: str = ""
    comment: str = ""

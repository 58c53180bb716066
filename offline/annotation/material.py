"""What rounds of annotation work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offline.training.detector.targets import Truth


@dataclass(frozen=True, slots=True)
class Boxed:
    """A picture, by its id, and what is known to be in it; boxes in its pixels."""

    picture: str
    truth: Truth


@dataclass(frozen=True, slots=True)
class Material:
    """No picture is in two of them."""

    hand: Sequence[Boxed]
    """Boxed by people, to train on."""
    held_back: Sequence[Boxed]
    """Boxed by people, to calibrate scores and to notice drift."""
    unlabelled: Sequence[str]

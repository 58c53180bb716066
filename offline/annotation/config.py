"""What decides the outcome of rounds of annotation, as one typed YAML file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from offline.training.detector.config import Loss
from offline.training.typed_yaml import Frozen

Share = float


class Acceptance(Frozen):
    """Which predicted boxes are believed, which are asked about. The shares are probabilities that a box is right."""

    accept: Share = Field(0.7, gt=0, le=1)
    """From here on a box is taken as it is. Each category has its own score for it; see calibration.py."""
    doubt: Share = Field(0.1, ge=0, lt=1)
    """From here on a box is worth a question, and what it shows teaches nothing until it is answered; below, it is
    background."""
    iou: Share = Field(0.5, gt=0, le=1)
    """A box is right if it overlaps one of its category by so much: what a person would leave as it is."""
    questions: NonNegativeInt = 200
    """Asked after each round, at most."""
    order: Literal["worth", "random", "sure"] = "worth"
    """worth: see proposals.py; random and sure (the likeliest first) are for comparison."""

    @model_validator(mode="after")
    def _doubt_below_accept(self) -> Acceptance:
        if self.doubt >= self.accept:
            msg = f"doubt ({self.doubt}) must be below accept ({self.accept})"
            raise ValueError(msg)
        return self


class Stopping(Frozen):
    """Average precision here is on hand-boxed pictures that are held back from training."""

    rounds: PositiveInt = 6
    """At most, the first one, on hand-drawn boxes only, included."""
    gain: NonNegativeFloat = 0.005
    """A round that adds less to the best average precision so far has gained nothing."""
    patience: PositiveInt = 2
    """So many rounds without gain end the work."""
    drift: NonNegativeFloat = 0.05
    """A round that falls by more below the best is thrown away, and ends the work."""


class Heads(Frozen):
    """The detector that is trained: heads on a frozen backbone; see heads.py."""

    size: Literal[192, 256, 320] = 192
    """Side of the input, pixels."""
    channels: PositiveInt = 32
    depth: PositiveInt = 2
    """Convolutions of a tower."""
    steps: PositiveInt = 300
    batch: PositiveInt = 16
    rate: PositiveFloat = 2e-3
    decay: NonNegativeFloat = 0.02
    loss: Loss = Loss(objectness="focal")
    kept: NonNegativeInt = 4000
    """Pictures whose features stay in memory, each 0.2 MB at 192 pixels."""


class Settings(Frozen):
    """Two equal ones on the same data and machine give the same rounds."""

    seed: NonNegativeInt = 0
    held_back: Share = Field(0.25, gt=0, lt=1)
    """Of the hand-boxed pictures: kept from training, to calibrate scores and to notice drift."""
    acceptance: Acceptance = Acceptance()
    stopping: Stopping = Stopping()
    heads: Heads = Heads()

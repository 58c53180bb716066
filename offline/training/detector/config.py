"""A detector's recipe: everything that decides the outcome of its training, as one typed YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from offline.training.typed_yaml import Frozen
from shiwu.vision.resize import Fit


class Data(Frozen):
    held_out: float = Field(0.45, gt=0, lt=1)
    """Share of the photos with drawn boxes that is never trained on. The same photos for the same share, and those of a
    smaller share are among those of a bigger one."""
    teacher: Path | None = None
    """Folder of a released detector that boxes the grocery photos that have none; None: they are left out."""


class Mix(Frozen):
    """How often a training picture is of each kind; any positive numbers."""

    scene: NonNegativeFloat = 0.34
    """Cut-outs on a background."""
    pasted: NonNegativeFloat = 0.14
    """Cut-outs on a photo with drawn boxes, which stay (Ghiasi et al., Simple Copy-Paste, CVPR 2021)."""
    boxed: NonNegativeFloat = 0.22
    """A photo with drawn boxes."""
    mosaic: NonNegativeFloat = 0.10
    """Four photos in one (Bochkovskiy et al., YOLOv4, 2020)."""
    single: NonNegativeFloat = 0.20
    """A photo of one thing, whose box was derived."""


class Pictures(Frozen):
    mix: Mix = Mix()
    multi_scale: bool = True
    """Photos are cropped, zoomed out and joined in mosaics. False: each at its own scale."""
    balance: bool = True
    """Rare categories are drawn more often than their number would give. False: every cut-out and photo alike."""
    small: float = Field(0.35, ge=0, le=1)
    """Share of the scenes on backgrounds whose objects are all small: at most an eighth of the picture."""


class Model(Frozen):
    head: Literal["anchors", "points"] = "anchors"
    """anchors: RetinaNet's; points: one per cell with four distances, as in FCOS."""
    size: Literal[192, 256, 320, 512] = 320
    """Side of the input, pixels."""
    frozen_blocks: NonNegativeInt = 5
    """Blocks of the backbone that keep their weights: five are those up to stride 8, where most time would go. Of
    COCO's there are 17, of which six reach stride 8."""
    start: Path | None = None
    """Folder of a released detector to go on from; None: random heads."""
    coco: Path | None = None
    """Folder of an SSDLite trained on COCO (see coco.py), whose trunk is the backbone and whose boxes are answered
    beside those of the heads that are trained; None: ImageNet's EfficientNet-lite0."""
    fit: Fit = "letterbox"
    """How a picture becomes the square; what was trained on COCO reads it stretched."""


class Loss(Frozen):
    objectness: Literal["quality", "focal", "cross-entropy"] = "quality"
    """quality: the target is how well the box fits times how prominent its product is (Li et al., Generalized Focal
    Loss, NeurIPS 2020); focal: the target is 1 (Lin et al., ICCV 2017); cross-entropy: 1 too, all elements alike."""
    alpha: float = Field(0.25, gt=0, lt=1)
    gamma: NonNegativeFloat = 2.0
    boxes: PositiveFloat = 1.5
    """Weight of the box loss beside the two others."""
    taught: PositiveFloat = 1.0
    """Where a trunk from COCO learns: weight of what its own heads answer no longer as they did."""


class Optimisation(Frozen):
    steps: PositiveInt = 1200
    batch: PositiveInt = 16
    warmup: PositiveInt = 100
    head_rate: PositiveFloat = 1.5e-3
    backbone_rate: PositiveFloat = 3e-4
    decay: NonNegativeFloat = 0.02
    ema: float = Field(0.997, gt=0, lt=1)
    """Of the averaged weights, which are the ones released (Tarvainen & Valpola, Mean teachers, NIPS 2017)."""
    workers: NonNegativeInt = 1
    """Processes that make pictures."""


class Recipe(Frozen):
    """Two equal recipes on the same data give the same weights on the same machine."""

    seed: NonNegativeInt = 0
    data: Data = Data()
    pictures: Pictures = Pictures()
    model: Model = Model()
    loss: Loss = Loss()
    optimisation: Optimisation = Optimisation()

"""One experiment: everything that decides its outcome, as one typed YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from offline.training.embedder.split import DATASETS, HELD_OUT_SHARE
from offline.training.embedder.split import SEED as SPLIT_SEED
from offline.training.typed_yaml import Frozen, YamlError, read_yaml


class ExperimentError(ValueError):
    """An experiment cannot be read, or asks for what does not exist or does not go together."""


class ImageSet(Frozen):
    """A folder under the data folder and how it is laid out; see loaders.py."""

    name: str
    format: Literal["items", "folders", "coco", "voc"] = "items"


class Data(Frozen):
    sets: tuple[ImageSet, ...] = tuple(ImageSet(name=name) for name in DATASETS)
    held_out: dict[str, float] = HELD_OUT_SHARE
    """Per set, the share of products that are never trained on, whole styles at a time."""
    split_seed: int = SPLIT_SEED
    validation: float = Field(0.05, ge=0, lt=1)
    """Share of the trained products' pictures that are kept for the validation loss."""
    size: PositiveInt = Field(96, multiple_of=32)
    """Side of the square that the network reads, pixels."""


class Batches(Frozen):
    """What stands in a batch: products times views, and `singles` pictures twice."""

    products: PositiveInt = 16
    views: int = Field(4, ge=2, multiple_of=2)
    singles: NonNegativeInt = 0
    """Pictures that are products of their own: instance discrimination."""
    balance: Literal["none", "domain"] = "none"
    """domain: every set gives as many products as any other, and half of a product's views are photos if it has any."""


class Augmentation(Frozen):
    crop: float = Field(0.6, gt=0, le=1)
    """Least area of a random crop."""
    phone: float = Field(0.0, ge=0, le=1)
    """Strength of the simulated phone shot on the query half of a product's views."""
    turn: float = Field(0.0, ge=0, le=1)
    """Chance of a quarter turn of a query view."""
    erase: Literal["none", "random", "bernoulli", "adversarial"] = "none"
    erase_chance: float = Field(0.5, ge=0, le=1)


class Model(Frozen):
    backbone: str = "lite0"
    """lite0, lite1, lite2 (EfficientNet), or `timm:NAME` where timm is installed."""
    pretrained: bool = True
    frozen_stages: NonNegativeInt = 1
    """Stages that keep their weights: of lite's three, the first ends at stride 8, the second at stride 16."""
    dimension: PositiveInt = 256
    pooling: Literal["average", "gem"] = "average"
    attention: Literal["none", "spatial", "channel", "both"] = "none"
    neck: Literal["none", "batch", "domain"] = "none"
    cascade: bool = False
    """One embedding per stage, each trained on harder pairs; the deployed vector joins them."""


class Classification(Frozen):
    kind: Literal["none", "softmax", "normalised", "sphereface", "cosface", "arcface", "subcentre"] = "normalised"
    scale: PositiveFloat = 24.0
    margin: NonNegativeFloat | None = None
    """None: 2 (a factor) for sphereface, 0.2 for cosface, 15 degrees for arcface and subcentre."""
    centres: PositiveInt = 3
    weight: NonNegativeFloat = 1.0


class Ranking(Frozen):
    kind: Literal["none", "contrastive", "triplet", "lifted"] = "none"
    weight: NonNegativeFloat = 1.0
    memory: NonNegativeInt = 0
    """Embeddings of earlier batches to compare with (cross-batch memory)."""


class Instance(Frozen):
    weight: NonNegativeFloat = 0.5
    temperature: PositiveFloat = 0.1


class Tasks(Frozen):
    """Attributes learnt beside the product: fields of `Item` (style, category, label, role, dataset) or of its row."""

    attributes: tuple[str, ...] = ()
    weight: NonNegativeFloat = 0.3
    """Mean weight of the attributes' losses; the product's own stays at the classification's."""
    weighting: Literal["equal", "trend"] = "trend"


class Peer(Frozen):
    """A second network that the deployed one learns with (mutual) or from (distil)."""

    kind: Literal["mutual", "distil"] = "mutual"
    backbone: str = "lite1"
    checkpoint: Path | None = None
    """distil: the finished run (its folder) of the teacher, trained on the same products."""
    weight: NonNegativeFloat = 1.0
    temperature: PositiveFloat = 1.0


class Optimisation(Frozen):
    steps: NonNegativeInt = 200
    accumulate: PositiveInt = 1
    """Batches per step."""
    rate: PositiveFloat = 1e-3
    backbone_rate: PositiveFloat = 3e-4
    centre_rate: PositiveFloat = 1e-2
    """Of class centres, which start at random."""
    weight_decay: NonNegativeFloat = 0.02
    warmup: NonNegativeInt = 20
    validate_every: PositiveInt = 25
    """Steps between validations, which are also checkpoints."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: PositiveInt = 1
    strategy: str = "auto"
    workers: NonNegativeInt = 0


class Experiment(Frozen):
    """A run's whole recipe; two equal experiments on the same data give the same weights on the same machine."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: NonNegativeInt = 0
    data: Data = Data()
    batches: Batches = Batches()
    augmentation: Augmentation = Augmentation()
    model: Model = Model()
    classification: Classification = Classification()
    ranking: Ranking = Ranking()
    instance: Instance = Instance()
    tasks: Tasks = Tasks()
    peer: Peer | None = None
    optimisation: Optimisation = Optimisation()

    @model_validator(mode="after")
    def _goes_together(self) -> Experiment:
        peer, batch = self.peer, self.batches.products * self.batches.views + 2 * self.batches.singles
        wrong = {
            "peers and adversarial erasing ask for classes, and the classification is none": (
                self.classification.kind == "none" and (peer or self.augmentation.erase == "adversarial")
            ),
            "distillation needs a finished run, peer.checkpoint, and mutual learning none": (
                peer and (peer.kind == "distil") != (peer.checkpoint is not None)
            ),
            "nothing is taught: no classification, ranking, cascade, single pictures or tasks": (
                self.classification.kind == self.ranking.kind == "none"
                and not (self.model.cascade or self.batches.singles or self.tasks.attributes)
            ),
            f"ranking.memory has to hold a batch of {batch}": 0 < self.ranking.memory < batch,
        }
        for what, is_so in wrong.items():
            if is_so:
                raise ValueError(what)
        return self


def read_experiment(path: Path) -> Experiment:
    """Raises ExperimentError naming the file and every key that is unknown or has a wrong value."""
    try:
        return read_yaml(path, Experiment, "experiment")
    except YamlError as error:
        raise ExperimentError(*error.args) from error

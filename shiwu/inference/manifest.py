"""The manifest beside every released model: what the file is, how to feed it and how to read it."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from shiwu.vision.anchors import AnchorGrid
from shiwu.vision.points import PointGrid
from shiwu.vision.resize import Fit


class ManifestError(ValueError):
    """A manifest is missing or malformed, or its model file is not the one it describes."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Frozen):
    """One named input or output; the first axis is the batch and is called "batch"."""

    name: str
    dtype: Literal["uint8", "float32"]
    shape: tuple[int | str, ...]


class Preprocessing(_Frozen):
    """How a picture becomes the model's square RGB input; normalisation lives in the graph."""

    size: PositiveInt
    """Side of the square, pixels."""
    fit: Fit
    fill: int = Field(127, ge=0, le=255)
    """Gray level around a letterboxed picture."""
    margin: float = Field(0.0, ge=0.0, le=1.0)
    """How far a crop reaches beyond its box on each side, as a share of the box's side."""
    views: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = Field((1.0,), min_length=1)
    """An embedder's only: the parts of a crop that are embedded, each the middle with this share of its sides. The
    crop's vector is their mean."""

    @property
    def wanted_side(self) -> int:
        """Longer side of a crop, pixels, from which on more would add nothing: the smallest part fills the square."""
        return math.ceil(self.size / min(self.views))


class VoteRule(_Frozen):
    """Parameters of the weighted category vote (see services/classifier/voting.py)."""

    neighbours: PositiveInt
    detector_weight: float = Field(ge=0.0, le=1.0)
    temperature: float = Field(gt=0.0)
    rank_decay: float = Field(ge=0.0)


class KReciprocalRule(_Frozen):
    """Parameters of k-reciprocal re-ranking (see services/gateway/k_reciprocal.py)."""

    kind: Literal["k-reciprocal"] = "k-reciprocal"
    k1: PositiveInt
    k2: PositiveInt
    lambda_: float = Field(ge=0.0, le=1.0, alias="lambda")
    """Weight of the original distance; 1 leaves the order as it was."""
    centre: bool
    """Subtract each domain's mean embedding first."""


class QueryBankRule(_Frozen):
    """Parameters of the correction by a bank of past queries (see services/gateway/query_bank.py).

    The bank is the file beside this manifest (see query_bank.py here).
    """

    kind: Literal["query-bank"] = "query-bank"
    neighbours: PositiveInt
    """Past queries nearest to a candidate whose mean similarity is its hubness."""
    weight: float = Field(ge=0.0)
    """How much of its hubness a candidate's similarity loses."""


class QueryExpansionRule(_Frozen):
    """Parameters of query expansion (see services/gateway/query_expansion.py)."""

    kind: Literal["query-expansion"] = "query-expansion"
    pictures: PositiveInt
    """Nearest catalogue pictures that are added to the query."""
    alpha: float = Field(ge=0.0)
    """Each weighs its similarity to the power of alpha."""


RerankRule = KReciprocalRule | QueryBankRule | QueryExpansionRule


class AcceptanceRule(_Frozen):
    """P(top product is right) is the sigmoid of a weighted sum (see services/gateway/acceptance.py)."""

    bias: float
    similarity: float
    margin: float
    hubness: float = 0.0
    typical_hubness: float = 0.0
    """Hubness counts from here, so that where it is not known it does not count."""
    agreement: float = 0.0
    threshold: float = Field(ge=0.0, le=1.0)
    """The probability from which on a product is accepted."""
    thresholds: dict[str, float] = {}
    """Per category, where enough was known to set one of its own."""


RegionKind = Literal["detected", "second", "centre", "whole"]
"""A part of a photo that may show the product: the detector's best box, its next best, the centre, all of it."""


class RegionScore(_Frozen):
    """Weights of the logistic regression that says whether search knows a region (see services/gateway/regions.py)."""

    bias: float
    similarity: float
    margin: float
    score: float
    area: float


class RegionRule(_Frozen):
    """How the part of the photo that is searched for is chosen."""

    scores: dict[RegionKind, RegionScore]
    """Kinds that are missing are not looked at; a first region of such a kind is taken as it is."""
    sure: float = Field(ge=0.0, le=1.0)
    """The other regions are not looked at when the first one's probability is at least this."""
    lead: float = Field(ge=0.0, le=1.0)
    """Another region is taken only if its probability exceeds the first one's by more than this."""


class VerificationRule(_Frozen):
    """How the prints of the nearest catalogue pictures count (see services/gateway/verification.py)."""

    categories: tuple[str, ...]
    """Pictures of products of these are compared."""
    candidates: int = Field(ge=1, le=100)
    """At most so many pictures, the nearest ones."""
    least: int = Field(ge=0)
    """So many agreeing features prove nothing."""
    enough: int
    """So many prove as much as can be proven; more than `least`."""
    weight: float = Field(ge=0.0)
    """What that is worth, as cosine similarity."""

    @model_validator(mode="after")
    def _enough_exceeds_least(self) -> Self:
        if self.enough <= self.least:
            msg = f"enough is {self.enough}; expected more than least, {self.least}"
            raise ValueError(msg)
        return self


class DomainMeans(_Frozen):
    """Mean unit embedding of each side of the gap, measured on training data."""

    photo: tuple[float, ...]
    merchant: tuple[float, ...]


class Tuning(_Frozen):
    """What was tuned on validation data for this embedder."""

    vote: VoteRule
    rerank: RerankRule | None = None
    """None: nothing gained without costing something."""
    acceptance: AcceptanceRule
    domains: DomainMeans
    regions: RegionRule | None = None
    """Unset: the first region is taken."""
    verification: VerificationRule | None = None
    """Unset: prints are not compared."""


class _Manifest(_Frozen):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str = Field(pattern=r"^[a-z0-9][a-z0-9.]*$")
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing

    @property
    def id(self) -> str:
        """The model's name and version, as answers and collections carry it: "embedder-lite0@1"."""
        return f"{self.name}@{self.version}"


class Anchors(_Frozen):
    """A head with several boxes of reference at every cell (see shiwu/vision/anchors.py)."""

    strides: tuple[PositiveInt, ...] = Field(min_length=1)
    sizes: tuple[PositiveFloat, ...]
    scales: tuple[PositiveFloat, ...] = Field(min_length=1)
    ratios: tuple[PositiveFloat, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_size_per_level(self) -> Self:
        if len(self.sizes) != len(self.strides):
            msg = f"{len(self.strides)} strides and {len(self.sizes)} sizes; every level has one of each"
            raise ValueError(msg)
        return self

    @classmethod
    def of(cls, grid: AnchorGrid) -> Self:
        return cls(strides=grid.strides, sizes=grid.sizes, scales=grid.scales, ratios=grid.ratios)

    def grid(self) -> AnchorGrid:
        return AnchorGrid(self.strides, self.sizes, self.scales, self.ratios)


class Points(_Frozen):
    """A head with one point at every cell (see shiwu/vision/points.py)."""

    strides: tuple[PositiveInt, ...] = Field(min_length=1)

    def grid(self) -> PointGrid:
        return PointGrid(self.strides)


class DetectorManifest(_Manifest):
    """A detector with raw heads: of anchors, or of points.

    Input "image": uint8 (batch, size, size, 3), RGB. Outputs: "scores" float32 (batch, anchors or points, labels)
    after the sigmoid; "deltas" float32 (batch, anchors or points, 4), coded as the grid's `encode` does.
    """

    task: Literal["detection"]
    labels: tuple[str, ...]
    anchors: Anchors | None = None
    points: Points | None = None
    prominence: float = Field(0.0, ge=0.0)
    """Objects are ranked by score times their share of the picture to this power; 0: by score alone."""
    min_score: float = Field(ge=0.0, le=1.0)
    nms_iou: float = Field(ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _one_kind_of_head(self) -> Self:
        if (self.anchors is None) == (self.points is None):
            msg = "a detector has either anchors or points"
            raise ValueError(msg)
        return self

    @property
    def grid(self) -> AnchorGrid | PointGrid:
        """Where the heads answer, and how deltas mean boxes."""
        head = self.anchors or self.points
        assert head is not None  # noqa: S101 - the validator has seen to it
        return head.grid()


class EmbedderManifest(_Manifest):
    """An embedder.

    Input "image": uint8 (batch, size, size, 3), RGB. Output "embedding": float32 (batch, dimension), unit length.
    """

    task: Literal["embedding"]
    dimension: PositiveInt
    categories: tuple[str, ...] = ()
    """Categories this embedder is kept for; empty: every category without one of its own."""
    tuning: Tuning | None = None


Manifest = Annotated[DetectorManifest | EmbedderManifest, Field(discriminator="task")]
_ADAPTER: TypeAdapter[DetectorManifest | EmbedderManifest] = TypeAdapter(Manifest)

FILE_NAME = "manifest.json"


def read_manifest(directory: Path) -> DetectorManifest | EmbedderManifest:
    """The manifest of the model in `directory`, with the model file checked against its sha256.

    Raises ManifestError, which says what is wrong and where.
    """
    path = directory / FILE_NAME
    try:
        manifest = _ADAPTER.validate_json(path.read_bytes())
        digest = hashlib.sha256((directory / manifest.file).read_bytes()).hexdigest()
    except OSError as error:
        msg = f"no model in {directory}: {error.strerror}: {error.filename}"
        raise ManifestError(msg) from error
    except ValidationError as error:
        msg = f"{path} is not a manifest: {error}"
        raise ManifestError(msg) from error
    if digest != manifest.sha256:
        path = directory / manifest.file
        msg = f"{path} is not the released file: sha256 is {digest}, the manifest says {manifest.sha256}"
        raise ManifestError(msg)
    return manifest


def write_manifest(manifest: DetectorManifest | EmbedderManifest, directory: Path) -> None:
    """Writes the manifest beside its model file."""
    text = manifest.model_dump_json(indent=2, by_alias=True, exclude_none=True)
    (directory / FILE_NAME).write_text(text + "\n", encoding="utf-8")

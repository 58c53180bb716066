"""The manifest beside every released model: what the file is, how to feed it and how to read it."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from shiwu.inference.frozen import Frozen
from shiwu.inference.tuning import Tuning
from shiwu.vision.anchors import AnchorGrid
from shiwu.vision.corners import CornerGrid
from shiwu.vision.heads import Grid
from shiwu.vision.points import PointGrid
from shiwu.vision.resize import Fit


class ManifestError(ValueError):
    """A manifest is missing or malformed, or its model file is not the one it describes."""


class TensorSpec(Frozen):
    """One named input or output; the first axis is the batch and is called "batch"."""

    name: str
    dtype: Literal["uint8", "float32"]
    shape: tuple[int | str, ...]


class Preprocessing(Frozen):
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

    gallery_views: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = ()
    """The same of a merchant's picture, which is embedded once and searched for often; empty: as any other."""

    def views_of(self, *, gallery: bool) -> tuple[float, ...]:
        """The parts that are embedded of a crop, or of a merchant's picture for a gallery."""
        return (self.gallery_views if gallery else ()) or self.views

    def wanted_side(self, *, gallery: bool = False) -> int:
        """Longer side of a crop, pixels, from which on more would add nothing: the smallest part fills the square."""
        return math.ceil(self.size / min(self.views_of(gallery=gallery)))


class _Manifest(Frozen):
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


class Anchors(Frozen):
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


class Points(Frozen):
    """A head with one point at every cell (see shiwu/vision/points.py)."""

    strides: tuple[PositiveInt, ...] = Field(min_length=1)

    def grid(self) -> PointGrid:
        return PointGrid(self.strides)


class Corners(Frozen):
    """Boxes that the graph has decoded itself (see shiwu/vision/corners.py)."""

    count: PositiveInt
    """Of a picture, before suppression."""

    def grid(self) -> CornerGrid:
        return CornerGrid(self.count)


class DetectorManifest(_Manifest):
    """A detector with raw heads, of anchors or of points, or with boxes that still need suppression.

    Input "image": uint8 (batch, size, size, 3), RGB. Outputs: "scores" float32 (batch, answers, labels) after the
    sigmoid; "deltas" float32 (batch, answers, 4), as the grid's `decode` reads them.
    """

    task: Literal["detection"]
    labels: tuple[str, ...]
    anchors: Anchors | None = None
    points: Points | None = None
    corners: Corners | None = None
    prominence: float = Field(0.0, ge=0.0)
    """Objects are ranked by score times their share of the picture to this power; 0: by score alone."""
    min_score: float = Field(ge=0.0, le=1.0)
    nms_iou: float = Field(ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _one_kind_of_head(self) -> Self:
        if sum(head is not None for head in (self.anchors, self.points, self.corners)) != 1:
            msg = "a detector has either anchors or points, or corners"
            raise ValueError(msg)
        return self

    @property
    def grid(self) -> Grid:
        """Where the heads answer, and how deltas mean boxes."""
        head = self.anchors or self.points or self.corners
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

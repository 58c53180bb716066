"""The port to one shard's vectors, and what passes through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shiwu.chassis.errors import InvalidInputError, PreconditionError

Vector = NDArray[np.float32]
"""float32 (dimension,), unit length."""


class OtherModelError(PreconditionError):
    """A shard's pictures were indexed with another model, or another version of it, than the one asked for."""

    def __init__(self, shard: str, indexed: Sequence[str], asked: str) -> None:
        """indexed, asked: models as name@version."""
        super().__init__(f"shard {shard} is indexed with {', '.join(indexed)}, not with {asked}")


@dataclass(frozen=True, slots=True)
class Record:
    """One picture to store; `image_id` is the key."""

    image_id: str
    product_id: str
    style_id: str
    category: str
    vector: Vector


class Hit(NamedTuple):
    """One picture found. A tuple, since hundreds are made for every search and frozen dataclasses take three times as
    long to make."""

    image_id: str
    product_id: str
    style_id: str
    category: str
    similarity: float
    """Cosine, -1 to 1."""
    vector: bytes = b""
    """Little-endian float32, as stored; empty unless asked for."""


@dataclass(frozen=True, slots=True)
class ModelIndex:
    """What a shard holds for one model version."""

    model: str
    """name@version"""
    collection: str
    dimension: int
    serving: bool
    """Searches for this model are answered from here; at most one version of each model is served."""
    retiring: bool = False
    """Served before, and still searched by those who ask for it, until it is dropped."""
    copied: bool = False
    """Whether a row must have its vector twice, since the index was made by an earlier release that read the second."""

    @property
    def searchable(self) -> bool:
        """Whether searches are answered from here: it is whole, unlike one that is being built beside another."""
        return self.serving or self.retiring


class Page(NamedTuple):
    """Some of a shard's pictures, by key."""

    records: Sequence[Record]
    after: str
    """Where the next page begins; empty when this one is."""


class VectorStore(Protocol):
    """The pictures of one shard, in one index for each model version.

    The first version of a model to be stored is served; a later one is built beside it until `serve` swaps them.
    Every method raises UnavailableError when the store does not answer in time, however often it was tried again, and
    leaves it to the caller to repeat it: all are idempotent.
    """

    async def probe(self) -> None:
        """Returns when the shard has answered a search in every index that it serves."""

    async def indexes(self) -> Sequence[ModelIndex]:
        """What is stored, by model; from memory where that is safe, so cheap."""

    async def count(self, model: str) -> int:
        """Pictures stored for a model version; 0 if it was never stored."""

    async def search(
        self, model: str, vector: Vector, *, limit: int, categories: Sequence[str] = (), include_vectors: bool = False
    ) -> list[Hit]:
        """The nearest pictures, nearest first, at most `limit`; only of `categories`, unless that is empty.

        Empty if nothing was ever stored. Raises OtherModelError if only other models' pictures are, or if another
        version is served, InvalidInputError if the vector is longer or shorter than the model's.
        """

    async def upsert(self, model: str, records: Sequence[Record]) -> None:
        """Stores or replaces pictures of one model version; returns when a search of its index finds them.

        Raises InvalidInputError if a vector is longer or shorter than the model's.
        """

    async def delete(self, image_ids: Sequence[str], model: str | None = None) -> None:
        """Removes pictures from a model version's index, or from every index; returns when no search finds them."""

    async def find(self, model: str, image_ids: Sequence[str]) -> dict[str, str]:
        """Those of the pictures that are stored for a model version, with the category that each is stored under."""

    async def page(self, model: str, *, after: str, limit: int) -> Page:
        """The next pictures of a model version, at most `limit`, whose keys come after `after` in code point order."""

    async def prune(self, categories: Sequence[str]) -> None:
        """Removes the pictures of these categories from every index."""

    async def serve(self, model: str) -> None:
        """Answers searches that ask for this version from now on; the version served so far is then retiring."""

    async def drop(self, model: str) -> None:
        """Removes a version's index, if there is one. Raises PreconditionError if it is served."""

    async def close(self) -> None:
        """Lets go of the store."""


def split_model(model: str) -> tuple[str, str]:
    """Name and version of "name@version"."""
    name, _, version = model.partition("@")
    return name, version


def served_index(shard: str, indexes: Sequence[ModelIndex], model: str) -> ModelIndex | None:
    """The index that answers searches for `model`; None if the shard is empty.

    Raises OtherModelError if the shard is not empty, but has none for it or is still building it.
    """
    for index in indexes:
        if index.model == model and index.searchable:
            return index
    if not indexes:
        return None
    name = split_model(model)[0]
    serving = [index.model for index in indexes if index.serving]
    raise OtherModelError(shard, [each for each in serving if split_model(each)[0] == name] or serving, model)


def check_droppable(shard: str, indexes: Sequence[ModelIndex], model: str) -> None:
    """Raises PreconditionError if searches would lose what they are answered from."""
    if any(index.model == model and index.serving for index in indexes):
        msg = f"shard {shard} serves {model}; serve another version of it first"
        raise PreconditionError(msg)


def check_dimension(index: ModelIndex, vector: Vector) -> None:
    """Raises InvalidInputError if the vector is longer or shorter than those of the index."""
    if vector.size != index.dimension:
        msg = f"has {vector.size} numbers; {index.model} has {index.dimension}"
        raise InvalidInputError(msg, field="vector")

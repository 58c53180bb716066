"""Embedding the crop and searching for its vector, with the default embedder or a category's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from services.gateway.answer import Limits
from services.gateway.candidates import merged
from services.gateway.models import ModelList, Models
from services.gateway.pictures import cropped
from services.gateway.ports import Box, Embedder, EmbedderModel, Hit, Index, ShardHits, Vector
from services.gateway.progress import Progress
from services.gateway.tuning import Tunings
from shiwu.chassis.errors import NotFoundError
from shiwu.vision.resize import Image

_NOTHING_SEARCHED: Final = "nothing could be searched for; the category is the detector's"
_FIRST_ONLY: Final = "searched for one part of the photo only"
_OTHER_SHARDS: Final = "searched the other shards; a product in this one cannot be found or ruled out"


class Memory(Protocol):
    """What earlier frames of a stream showed."""

    def recall(self, model: str, vector: Vector) -> Vector:
        """The vector to search for, now that this one was seen."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """What is searched for: a box of a photo."""

    photo: Image
    box: Box
    memory: Memory | None


@dataclass(frozen=True, slots=True)
class Found:
    """What the search with one model's vector brought."""

    models: Models
    """All that there are."""
    model: EmbedderModel
    crop: Image
    vector: Vector
    hits: Sequence[Hit]
    """Of all shards, nearest first."""
    time: datetime
    """What was indexed before this moment was searched, in the shards that answered."""


class _Embedded(NamedTuple):
    models: Models
    model: EmbedderModel
    crop: Image
    vector: Vector


class Lookup:
    """Finds catalogue pictures that look like a crop."""

    def __init__(
        self, embedder: Embedder, index: Index, models: ModelList, tunings: Tunings, *, limits: Limits, top_k: int
    ) -> None:
        self._embedder = embedder
        self._index = index
        self._models = models
        self._tunings = tunings
        self._limits = limits
        self._top_k = top_k

    async def in_all(self, view: View, progress: Progress) -> Found | None:
        """Searches all shards with the default model's vector; None if that was lost."""
        return await self._search(view, None, (), progress, _NOTHING_SEARCHED)

    async def in_others(self, view: View, boxes: Sequence[Box], found: Found, progress: Progress) -> list[Found]:
        """What a search for each of these boxes finds, with the model that found this; empty if that was lost.

        One call embeds all crops, and all are searched for at once. They get less of the time that is left than the
        first search: there is an answer already.
        """
        model = found.model
        crops = [cropped(view.photo, box, margin=model.crop_margin, size=model.input_size) for box in boxes]
        vectors: Sequence[Vector] = ()
        with progress.may_lose("embedder", _FIRST_ONLY):
            vectors = await self._embedder.embed(crops, model, seconds=progress.budget(self._limits.embed, share=0.4))
        answers: Sequence[Sequence[ShardHits]] = ()
        started = datetime.now(UTC)
        with progress.may_lose("search", _FIRST_ONLY):
            seconds = progress.budget(self._limits.search, share=0.4)
            answers = await asyncio.gather(*[self._shards(vector, model, (), seconds) for vector in vectors])
        if self._lost([shard for shards in answers for shard in shards], progress):
            return []  # a search of fewer shards leads by more: not to be compared
        return [
            Found(found.models, model, crop, vector, merged(shards), started)
            for crop, vector, shards in zip(crops, vectors, answers, strict=False)
        ]

    async def in_own(self, view: View, categories: Sequence[str], found: Found, progress: Progress) -> Found | None:
        """Searches with the model kept for the likeliest of `categories`, those of them that it is kept for.

        None if that is the model which `found` this, or if the search was lost.
        """
        model = found.models.of(categories[0]) if categories else found.model
        if model.id == found.model.id:
            return None
        own = [category for category in categories if category in model.categories]
        return await self._search(view, model, own, progress, f"took the candidates of {found.model.id}")

    async def _search(
        self, view: View, model: EmbedderModel | None, categories: Sequence[str], progress: Progress, fallback: str
    ) -> Found | None:
        embedded: _Embedded | None = None
        with progress.stage("embed"), progress.may_lose("embedder", fallback):
            embedded = await self._embedded(view, model, progress)
        if embedded is None:
            return None
        model, vector = embedded.model, embedded.vector
        if view.memory is not None:
            vector = view.memory.recall(model.id, vector)
        hits: Sequence[Hit] | None = None
        with progress.stage("search"), progress.may_lose("search", fallback):
            started = datetime.now(UTC)
            shards = await self._shards(vector, model, categories, progress.budget(self._limits.search, share=0.7))
            self._lost(shards, progress)
            hits = merged(shards)
        return None if hits is None else Found(embedded.models, model, embedded.crop, vector, hits, started)

    async def _shards(
        self, vector: Vector, model: EmbedderModel, categories: Sequence[str], seconds: float
    ) -> Sequence[ShardHits]:
        return await self._index.search(
            vector,
            model.id,
            top_k=self._top_k,
            categories=categories,
            include_vectors=self._tunings.of(model.id).reranker is not None,
            seconds=seconds,
        )

    def _lost(self, shards: Sequence[ShardHits], progress: Progress) -> bool:
        """Notes the shards that did not answer; whether there are any."""
        lost = [shard for shard in shards if shard.error]
        for shard in lost:
            progress.lost(f"search/{shard.shard}", shard.error, _OTHER_SHARDS)
        return bool(lost)

    async def _embedded(self, view: View, model: EmbedderModel | None, progress: Progress) -> _Embedded:
        """With the model, or with the default one if None."""
        models = await self._listed(progress)
        try:
            return await self._embedded_by(model or models.default, models, view, progress)
        except NotFoundError:
            # The embedder was restarted with other models.
            self._models.forget()
            if model is not None:
                raise
            models = await self._listed(progress)
            return await self._embedded_by(models.default, models, view, progress)

    async def _listed(self, progress: Progress) -> Models:
        return await self._models.current(seconds=progress.budget(self._limits.embed, share=0.5))

    async def _embedded_by(self, model: EmbedderModel, models: Models, view: View, progress: Progress) -> _Embedded:
        crop = cropped(view.photo, view.box, margin=model.crop_margin, size=model.input_size)
        seconds = progress.budget(self._limits.embed, share=0.6)
        vectors = await self._embedder.embed([crop], model, seconds=seconds)
        return _Embedded(models, model, crop, vectors[0])

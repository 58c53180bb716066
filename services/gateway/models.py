"""The embedder's models, remembered between scans."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from services.gateway.ports import Embedder, EmbedderModel
from shiwu.chassis.errors import ServiceError


class Models:
    """One listing: which model makes the vectors of what."""

    def __init__(self, models: Sequence[EmbedderModel]) -> None:
        """models: at least one, the default first."""
        self.default = models[0]
        self._own = {category: model for model in models for category in sorted(model.categories)}

    def of(self, category: str) -> EmbedderModel:
        """The model kept for the category, or the default."""
        return self._own.get(category, self.default)


class ModelList:
    """Asks the embedder again after `max_age` seconds, or when told that the list is out of date."""

    def __init__(self, embedder: Embedder, *, max_age: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._embedder = embedder
        self._max_age = max_age
        self._clock = clock
        self._models: Models | None = None
        self._asked = 0.0

    async def current(self, *, seconds: float) -> Models:
        """The list; raises what the embedder raises, but only while nothing is known."""
        if self._models is not None and self._clock() - self._asked <= self._max_age:
            return self._models
        # Noted before the answer, so that the other scans of this moment go on with what they have.
        self._asked = self._clock()
        try:
            self._models = Models(await self._embedder.models(seconds=seconds))
        except ServiceError:
            if self._models is None:
                raise
            # An old list is better than none; if it is wrong, the embedder will say so.
        return self._models

    def forget(self) -> None:
        """The list is out of date: the embedder does not know a model of it."""
        self._models = None

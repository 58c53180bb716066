"""From crops to unit vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shiwu.inference.manifest import EmbedderManifest, ManifestError
from shiwu.inference.runner import ModelError, ModelRunner
from shiwu.inference.tensors import require_finite
from shiwu.vision.crop import middle
from shiwu.vision.resize import Image, fit

Vectors = NDArray[np.float32]


class Embedder:
    """One embedding model."""

    def __init__(self, manifest: EmbedderManifest, runner: ModelRunner, *, batch: int = 8) -> None:
        """batch: pictures of one run. A CPU gains nothing from more, and who asks for one does not wait for many."""
        self.manifest = manifest
        self._runner = runner
        self._batch = batch

    async def embed(self, crops: Sequence[Sequence[Image]]) -> Vectors:
        """Unit vectors, (n, dimension), of crops as `views` made them.

        Raises ModelError when the model gives no sense, and what the runner raises.
        """
        squares = [square for crop in crops for square in crop]
        parts = [
            await self._run(np.stack(squares[start : start + self._batch]))
            for start in range(0, len(squares), self._batch)
        ]
        vectors = np.concatenate(parts)
        return self._unit(vectors.reshape(len(crops), -1, vectors.shape[1]).mean(axis=1))

    def views(self, crop: Image, *, gallery: bool = False) -> list[Image]:
        """The parts of a crop, (h, w, 3), that are embedded, as the squares that the model reads.

        The mean over a thing and its middle tells products apart better than the whole alone: the middle is free of
        background and shows detail at a larger size.
        """
        how = self.manifest.preprocessing
        shares = how.views_of(gallery=gallery)
        return [fit(middle(crop, share), how.size, how.fit, how.fill)[0] for share in shares]

    async def ready(self) -> bool:
        """Whether the model would answer."""
        return await self._runner.ready()

    async def _run(self, images: NDArray[np.uint8]) -> Vectors:
        vectors = (await self._runner.run({"image": images}))["embedding"]
        expected = (len(images), self.manifest.dimension)
        if vectors.shape != expected:
            msg = f"model {self.manifest.id} gave vectors {vectors.shape}; expected {expected}"
            raise ModelError(msg)
        require_finite("embedding", vectors, self.manifest.id)
        return self._unit(vectors)

    def _unit(self, vectors: Vectors) -> Vectors:
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if (lengths == 0).any():
            msg = f"model {self.manifest.id} gave a vector of length 0; expected unit vectors"
            raise ModelError(msg)
        return np.asarray(vectors / lengths, np.float32)


def by_id(embedders: Sequence[Embedder]) -> dict[str, Embedder]:
    """The embedders by model id, the default one, which is the first that is kept for no category, first.

    Raises ManifestError when they do not go together.
    """
    table = {each.manifest.id: each for each in embedders}
    if len(table) < len(embedders):
        msg = f"a model is given twice among {[each.manifest.id for each in embedders]}"
        raise ManifestError(msg)
    default = next((each for each in embedders if not each.manifest.categories), None)
    if default is None:
        msg = f"each of the models {list(table)} is kept for some categories; one must be for all others"
        raise ManifestError(msg)
    owners: dict[str, str] = {}
    for each in embedders:
        for category in each.manifest.categories:
            if (owner := owners.setdefault(category, each.manifest.id)) != each.manifest.id:
                msg = f"models {owner} and {each.manifest.id} are both kept for {category}"
                raise ManifestError(msg)
    return {default.manifest.id: default} | table

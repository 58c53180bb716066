"""Which views stand together in a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.training.embedder.pool import Pool
from offline.training.embedder.sources import GROUPS, Group

Index = NDArray[np.int64]

_SHARES: Final[dict[Group, int]] = {
    "grocery": 14,
    "magento": 12,
    "ycb": 6,
    "single": 16,
    "cover": 12,
    "drawing": 18,
}
"""Products of each group in a batch."""
_PAIRED: Final[tuple[Group, ...]] = ("ycb", "single", "drawing")
_STYLES: Final[dict[Group, int]] = {"magento": 4, "cover": 4}
"""How many styles of the groups whose products come with their siblings."""


class Batches:
    """Endless balanced batches: some products of every group, each as a clean view and as seen by a phone.

    Colourways of one style come together, and covers of one design, since they are what is hardest to tell apart.
    """

    def __init__(self, pool: Pool, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._clean = _by_product(pool, pool.clean)
        self._seen = _by_product(pool, ~pool.clean)
        self._products = {group: np.unique(pool.product[pool.group == i]) for i, group in enumerate(GROUPS)}
        self._siblings = {group: _by_style(pool, pool.group == GROUPS.index(group)) for group in _STYLES}

    def __iter__(self) -> Iterator[Index]:
        while True:
            yield self._batch()

    def _batch(self) -> Index:
        views: list[np.int64] = []
        for product in self._draw("grocery"):
            views += self._pick(self._clean, product, 1) + self._pick(self._seen, product, 2)
        for product in self._draw_siblings("magento"):
            views += self._pick(self._clean, product, 2) + self._pick(self._seen, product, 1)
        for product in np.concatenate([self._draw_siblings("cover"), *map(self._draw, _PAIRED)]):
            views += self._pick(self._clean, product, 1) + self._pick(self._seen, product, 1)
        return np.array(views, np.int64)

    def _draw(self, group: Group) -> Index:
        products = self._products[group]
        return self._rng.choice(products, min(_SHARES[group], len(products)), replace=False)

    def _draw_siblings(self, group: Group) -> Index:
        families = self._siblings[group]
        if not families:
            return np.empty(0, np.int64)
        chosen = self._rng.choice(len(families), min(_STYLES[group], len(families)), replace=False)
        each = _SHARES[group] // _STYLES[group]
        return np.concatenate([self._rng.permutation(families[family])[:each] for family in chosen])

    def _pick(self, views: dict[int, Index], product: np.int64, count: int) -> list[np.int64]:
        own = views.get(int(product))
        return [] if own is None else list(self._rng.choice(own, min(count, len(own)), replace=False))


def _by_style(pool: Pool, where: NDArray[np.bool_]) -> list[Index]:
    """The products of each style."""
    return [np.unique(pool.product[where & (pool.style == style)]) for style in np.unique(pool.style[where])]


def _by_product(pool: Pool, where: NDArray[np.bool_]) -> dict[int, Index]:
    index = np.nonzero(where)[0]
    order = index[np.argsort(pool.product[index], kind="stable")]
    products, starts = np.unique(pool.product[order], return_index=True)
    return {int(p): part for p, part in zip(products, np.split(order, starts[1:]), strict=True)}

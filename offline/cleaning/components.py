"""Connected components of a graph whose edges come in parts, so that no machine holds them all.

Disjoint sets with path halving, the smaller root on top (Tarjan & van Leeuwen, Worst-case Analysis of Set Union
Algorithms, J. ACM 1984). 8 bytes a node.
"""

from __future__ import annotations

from collections.abc import Iterable

import numba
import numpy as np
from numpy.typing import NDArray


def components(nodes: int, edges: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """For each node the smallest node that it is connected with. edges: arrays (n, 2) of nodes."""
    parents = np.arange(nodes)
    for part in edges:
        _unite(parents, part)
    _flatten(parents)
    return parents


@numba.njit(cache=True)
def _root(parents: NDArray[np.int64], node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@numba.njit(cache=True)
def _unite(parents: NDArray[np.int64], edges: NDArray[np.int64]) -> None:
    for i in range(len(edges)):
        a, b = _root(parents, edges[i, 0]), _root(parents, edges[i, 1])
        parents[max(a, b)] = min(a, b)


@numba.njit(cache=True)
def _flatten(parents: NDArray[np.int64]) -> None:
    for node in range(len(parents)):
        parents[node] = parents[parents[node]]

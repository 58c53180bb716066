"""Connected components from edges in parts, against scipy's of all at once."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from offline.cleaning.components import components


def test_components_are_those_of_scipy():
    draw = np.random.default_rng(4)
    for nodes, edges in ((1, 0), (50, 20), (50, 60), (3000, 1700)):
        pairs = draw.integers(0, nodes, (edges, 2))
        found = components(nodes, np.array_split(pairs, 7))
        _, labels = connected_components(coo_array((np.ones(edges), (pairs[:, 0], pairs[:, 1])), (nodes, nodes)), False)
        assert (found[:, None] == found).tolist() == (labels[:, None] == labels).tolist()
        assert (found <= np.arange(nodes)).all()
        assert (found[found] == found).all()

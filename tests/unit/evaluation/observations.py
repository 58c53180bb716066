"""Observations made by hand."""

from __future__ import annotations

import numpy as np

from evaluation.observations import Observation
from services.classifier.voting import Neighbour


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def of_neighbours(category, detector, neighbours, products=None):
    """From (category, similarity) of each neighbour; vectors do not matter."""
    return Observation(
        source="grocery",
        category=category,
        product="p",
        detector=detector,
        vector=np.zeros(8, np.float32),
        neighbours=[Neighbour(f"i{i}", each, s) for i, (each, s) in enumerate(neighbours)],
        products=products or ["p"] * len(neighbours),
        gallery=np.zeros((len(neighbours), 8), np.float32),
        rows=np.arange(len(neighbours)),
    )


def of_vectors(query, gallery, product, *, own_row=None, present=True):
    """A search of the whole gallery, whose row i is a picture of product "i"."""
    similarities = gallery @ query
    rows = np.array([i for i in np.argsort(-similarities, kind="stable").tolist() if i != own_row])
    return Observation(
        source="set",
        category="food",
        product=str(product),
        detector=[],
        vector=query,
        neighbours=[Neighbour(f"i{i}", "food", float(similarities[i])) for i in rows],
        products=[str(i) for i in rows],
        gallery=gallery,
        rows=rows,
        own_row=own_row,
        present=present,
    )

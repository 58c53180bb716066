"""Photos whose regions and neighbours are made up."""

from __future__ import annotations

import numpy as np

from evaluation.looking import compared
from evaluation.photo_sets import Entry
from evaluation.stages import Look
from services.gateway.ports import Box, Detected
from services.gateway.regions import Region

DIMENSION = 48
PRODUCTS = 30
BOX, WHOLE = Box(0.2, 0.2, 0.7, 0.7), Box(0.0, 0.0, 1.0, 1.0)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def entry(name, product):
    return Entry(name, product, product, "toys", bytes)


def photos(source, seed, count=300, missed=0.4, alike=False):
    """Photos of which `missed` show the product in the centre, not in the detector's box: there the vectors are noise.

    alike: all regions of a photo show the same.
    """
    random = np.random.default_rng(seed)
    stock = unit(random.normal(size=(PRODUCTS, DIMENSION)))
    entries = [entry(f"{source}-{i}", f"{source}-{i}") for i in range(PRODUCTS)]
    found = Detected(BOX, 0.8, [("toys", 0.8)])
    regions = [
        Region("detected", BOX, found),
        Region("middle", BOX, found),
        Region("centre", BOX, None),
        Region("whole", WHOLE, None),
    ]
    made = []
    for n in range(count):
        own = stock[n % PRODUCTS]
        box = 0.3 if random.random() >= missed else 3.0
        amounts = np.array([box, box, 0.1, 0.4])
        vectors = unit(own + amounts[:, None] * random.normal(size=(4, DIMENSION)))
        if alike:
            vectors[:] = vectors[0]
        query = entry(f"photo {n}", f"{source}-{n % PRODUCTS}")
        made.append(compared(source, query, Look(regions, vectors), entries, stock))
    return made

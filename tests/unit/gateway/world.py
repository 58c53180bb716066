"""A small world for the gateway's tests: photos of coloured tiles, and the other services as real little algorithms.

A product's tile is a random 8 x 8 colour pattern. A photo is gray with tiles pasted in. The detector boxes what is not
gray; the embedder averages 8 x 8 cells of the crop; the index is exact; the vote is the classifier's own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import cv2
import numpy as np

from services.catalog.comparing import agreements
from services.classifier.voting import DEFAULT_RULE, Neighbour, vote
from services.gateway.answer import Peers, Rules
from services.gateway.models import ModelList
from services.gateway.pictures import prepared
from services.gateway.pipeline import Scanner
from services.gateway.ports import Box, Detected, Detection, EmbedderModel, ShardHits, Share, Vote
from services.gateway.progress import Progress
from services.gateway.tuning import UNTUNED, Tunings
from shiwu.chassis.errors import NotFoundError, PreconditionError, UnavailableError
from shiwu.vision.local_features import MOST_OF_PHOTO, describe

GRAY = 127
CELLS = 8
GENERAL = EmbedderModel("tiles@1", CELLS * CELLS * 3, frozenset(), 0.0, 64)
OWN = EmbedderModel("shoe-tiles@1", CELLS * CELLS * 3, frozenset({"shoes"}), 0.0, 64)
SHARDS = {"fashion": ("shoes", "bags"), "home": ("toys", "furniture")}


@dataclass(frozen=True)
class Product:
    product_id: str
    category: str
    style_id: str = ""


def tile(seed, side=160):
    """A product's picture, RGB (side, side, 3)."""
    cells = np.random.default_rng(seed).integers(0, 256, (CELLS, CELLS, 3), dtype=np.uint8)
    return cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST)


def photo(*tiles, size=(480, 640)):
    """Gray, with (pixels, left, top) pasted in."""
    image = np.full((*size, 3), GRAY, np.uint8)
    for pixels, left, top in tiles:
        image[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return image


def noisy(image, seed, amount=25.0):
    noise = np.random.default_rng(seed).normal(0, amount, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def embed(image, salt=0):
    cells = cv2.resize(np.ascontiguousarray(image), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    vector = (cells.astype(np.float32).reshape(-1) - GRAY) * (-1.0 if salt else 1.0)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


DOWN = UnavailableError("it does not answer")


@dataclass
class Part:
    """What every part can do: fail, and be counted."""

    error: Exception | None = None
    delay: float = 0.0
    calls: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self, seconds):
        self.calls += 1
        self.begun.set()
        assert seconds > 0
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error


@dataclass
class TileDetector(Part):
    scores: tuple = (("shoes", 0.8), ("toys", 0.3))
    sizes: list = field(default_factory=list)

    async def detect(self, photo, *, seconds):
        await self.begin(seconds)
        self.sizes.append(photo.shape[:2])
        return self.see(photo)

    def see(self, photo):
        height, width = photo.shape[:2]
        differs = (np.abs(photo.astype(int) - GRAY).max(axis=2) > 20).astype(np.uint8)
        differs = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        _, _, stats, _ = cv2.connectedComponentsWithStats(differs)
        objects = []
        for left, top, w, h, area in sorted(stats[1:].tolist(), key=lambda s: -s[4]):
            if area < 100:
                continue
            box = Box(left / width, top / height, (left + w) / width, (top + h) / height)
            scores = tuple((category, score * 0.9 ** len(objects)) for category, score in self.scores)
            objects.append(Detected(box, scores[0][1], scores))
        return Detection(objects, "tile-boxes@1")


@dataclass
class TileEmbedder(Part):
    serving: tuple = (GENERAL,)
    lists: int = 0
    crops: list = field(default_factory=list)
    own_error: Exception | None = None

    async def models(self, *, seconds):
        await self.begin(seconds)
        self.lists += 1
        return self.serving

    async def embed(self, crops, model, *, seconds):
        await self.begin(seconds)
        if model.id not in {each.id for each in self.serving}:
            raise NotFoundError(f"embedder: no model {model.id}")
        if model.categories and self.own_error:
            raise self.own_error
        self.crops += [crop.shape for crop in crops]
        return [embed(crop, salt=bool(model.categories)) for crop in crops]


@dataclass(frozen=True)
class TileHit:
    image_id: str
    product_id: str
    style_id: str
    category: str
    similarity: float
    vector: bytes


@dataclass
class ExactIndex(Part):
    rows: dict = field(default_factory=dict)
    """model -> list of (image_id, Product, vector)."""
    lost: set = field(default_factory=set)
    asked: list = field(default_factory=list)
    dimension_error: int = 0

    def add(self, image_id, product, vector, model=GENERAL.id):
        self.rows.setdefault(model, []).append((image_id, product, vector))

    async def search(self, vector, model, *, top_k, categories, include_vectors, seconds):
        await self.begin(seconds)
        self.asked.append((model, tuple(categories), include_vectors))
        if self.rows and model not in self.rows:
            raise PreconditionError(f"search: the index was built with {', '.join(self.rows)}, not {model}")
        return [
            self._shard(name, kept, vector, model, top_k, include_vectors)
            for name, kept in SHARDS.items()
            if not categories or set(categories) & set(kept)
        ]

    def _shard(self, name, kept, vector, model, top_k, include_vectors):
        if name in self.lost:
            return ShardHits(name, (), "no connection")
        rows = [row for row in self.rows.get(model, []) if row[1].category in kept]
        hits = [
            TileHit(
                image_id,
                product.product_id,
                product.style_id,
                product.category,
                float(stored @ vector),
                (stored[self.dimension_error :]).astype("<f4").tobytes() if include_vectors else b"",
            )
            for image_id, product, stored in rows
        ]
        return ShardHits(name, sorted(hits, key=lambda hit: (-hit.similarity, hit.image_id))[:top_k])


@dataclass
class RealVoter(Part):
    neighbours: list = field(default_factory=list)

    async def vote(self, detector, neighbours, *, seconds):
        await self.begin(seconds)
        self.neighbours.append(len(neighbours))
        asked = [Neighbour(hit.image_id, hit.category, hit.similarity) for hit in neighbours]
        result = vote(detector, asked, DEFAULT_RULE)
        return Vote(result.categories, result.detector_share, [Share(*share) for share in result.shares])


@dataclass
class DictCatalog(Part):
    described: list = field(default_factory=list)
    gaps: list = field(default_factory=list)
    feedback: list = field(default_factory=list)
    features: dict = field(default_factory=dict)
    """image -> packed local features."""
    compared: list = field(default_factory=list)

    async def compare(self, crop, image_ids, *, seconds):
        await self.begin(seconds)
        self.compared.append(list(image_ids))
        known = {image_id: self.features[image_id] for image_id in image_ids if image_id in self.features}
        return agreements(describe(crop, MOST_OF_PHOTO), known)

    async def describe(self, product_ids, *, max_articles, seconds):
        await self.begin(seconds)
        self.described.append((list(product_ids), max_articles))
        return {product_id: f"facts of {product_id}" for product_id in product_ids}

    async def record_gap(self, gap, *, seconds):
        await self.begin(seconds)
        self.gaps.append(gap)

    async def record_feedback(self, feedback, *, seconds):
        await self.begin(seconds)
        self.feedback.append(feedback)


# The tiles lie further from the middle of their photos than products do.
RULES = Rules(centre_share=0.8)


class World:
    """All parts, stocked with `products` of one picture each; product i has tile(i)."""

    def __init__(self, products=(), *, tuning=UNTUNED, rules=None, detector=None, embedder=None):
        self.detector, self.embedder = detector or TileDetector(), embedder or TileEmbedder()
        self.index = ExactIndex()
        self.voter, self.catalog = RealVoter(), DictCatalog()
        self.peers = Peers(self.detector, self.embedder, self.index, self.voter, self.catalog)
        self.tunings = Tunings({GENERAL.id: tuning, OWN.id: tuning})
        self.models = ModelList(self.embedder, max_age=60.0)
        self.scanner = Scanner(self.peers, self.models, self.tunings, rules or RULES)
        for seed, product in enumerate(products):
            self.index.add(f"{product.product_id}-a", product, embed(tile(seed)))

    async def scan(self, image, *, seconds=5.0, top_k=10, focus=None, memory=None):
        self.progress = Progress(seconds)
        picture = prepared(image, 320)
        return await self.scanner.scan(picture, self.progress, top_k=top_k, focus=focus, memory=memory)


STOCK = [
    Product("red-shoe", "shoes", "shoe-style"),
    Product("blue-shoe", "shoes", "shoe-style"),
    Product("bag", "bags"),
    Product("robot", "toys", "robot-style"),
    Product("chair", "furniture"),
]


def parts(answer):
    return {each.part: each for each in answer.missing}


def best(answer):
    return answer.styles[0].products[0].product_id

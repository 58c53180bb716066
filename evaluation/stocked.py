"""A catalogue from the demo's pictures, and photos to scan against it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import cv2
import grpc
import numpy as np
from google.longrunning import operations_pb2, operations_pb2_grpc

from evaluation.demo import pixels
from evaluation.demo_catalogue import ABSENT, DemoProduct, feed, fetch
from evaluation.phone_shots import PhoneShot, shoot
from shiwu.categories import CATEGORIES
from shiwu.inference.manifest import EmbedderManifest, read_manifest
from shiwu.inference.released import EMBEDDER
from shiwu.v1 import catalog_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub

CACHE: Final = Path(".cache/demo")
_MILD: Final = PhoneShot(perspective=0.06, cover=(0.85, 0.95), light=0.2, cast=0.05, blur=0.8, noise=3.0)
_SIDE: Final = 640  # pixels of a photo
_IMPORT_SECONDS: Final = 180.0


@dataclass(frozen=True)
class Photo:
    """A JPEG file, and the product that it shows; empty if that is not in the catalogue."""

    data: bytes
    product_id: str


def photos(count: int, seed: int = 3) -> list[Photo]:
    """Simulated phone shots of different products of the demo, some of which the catalogue does not have."""
    products = sorted(fetch(CACHE), key=_absent_first)[:count]
    return [
        Photo(_shot(product, seed + i), "" if product.key in ABSENT else product.key)
        for i, product in enumerate(products)
    ]


def stock(catalog: str) -> None:
    """Imports the demo's products into the catalog service at `catalog`, which may read `CACHE`."""
    path = CACHE / "feed.csv"
    path.write_text(feed(fetch(CACHE), CACHE), encoding="utf-8")
    _import(path, catalog)


def fill(catalog: str, models: Path, products: int) -> None:
    """Imports so many products of each category, whose pictures have random vectors and are never found for sure.

    With as many as a shard's answer holds, answers no longer grow with the catalogue.
    """
    manifest = cast(EmbedderManifest, read_manifest(models / EMBEDDER))
    draw = np.random.default_rng(11)
    path = CACHE / "filler.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for category in CATEGORIES:
            vectors = draw.normal(size=(products, manifest.dimension)).astype("<f4")
            for i, vector in enumerate(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)):
                key = f"filler-{category}-{i}"
                digest = hashlib.sha256(key.encode()).hexdigest()
                prepared = f"{digest} 64x64 {manifest.id} {base64.b64encode(vector.tobytes()).decode()}"
                row = {"product_id": key, "title": key, "category": category, "images": ["none.jpg"]}
                file.write(json.dumps({**row, "prepared": [prepared]}) + "\n")
    _import(path, catalog)


def _import(path: Path, catalog: str) -> None:
    request = catalog_pb2.ImportProductsRequest(feed_uri=path.resolve().as_uri())
    deadline = time.monotonic() + _IMPORT_SECONDS
    with grpc.insecure_channel(catalog) as channel:
        operation = CatalogServiceStub(channel).ImportProducts(request, timeout=20)
        stub = operations_pb2_grpc.OperationsStub(channel)
        while not operation.done:
            if time.monotonic() > deadline:
                msg = f"the import is not done after {_IMPORT_SECONDS:.0f} s"
                raise RuntimeError(msg)
            time.sleep(0.1)
            operation = stub.GetOperation(operations_pb2.GetOperationRequest(name=operation.name), timeout=20)
    result = catalog_pb2.ImportProductsResponse()
    if not operation.response.Unpack(result) or result.rows_failed:
        msg = f"{path} was not imported: {operation.error.message or result.errors}"
        raise RuntimeError(msg)


def jpeg(picture: np.ndarray) -> bytes:
    """A JPEG file of an RGB picture."""
    return bytes(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def _absent_first(product: DemoProduct) -> tuple[bool, str]:
    return product.key not in ABSENT, product.key


def _shot(product: DemoProduct, seed: int) -> bytes:
    backdrop = np.full((64, 64, 3), (150, 140, 120), np.uint8)
    return shoot(pixels(product.picture), backdrop, seed, size=_SIDE, shot=_MILD)

"""A mesh of real services on embedded stores with a part of the demo's catalogue, for tests of the whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import grpc
import numpy as np
from google.longrunning import operations_pb2, operations_pb2_grpc

from evaluation.demo_catalogue import DemoProduct, feed, fetch
from evaluation.phone_shots import PhoneShot, shoot
from shiwu.cli.mesh import Layout, Mesh, free_ports
from shiwu.v1 import catalog_pb2, gateway_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image

ROOT = Path(__file__).parent.parent
STOCK = (
    *("instant-camera", "balloon-chair", "freerun-running-shoe", "spiky-cactus", "basketball", "laptop", "tulip-pot"),
    *("leather-sofa", "hi-top-basketball-shoe", "twin-lens-camera", "football", "wooden-stool"),
)
"""Products that the tests stock."""
ABSENT = "road-bike"


@dataclass(frozen=True)
class DemoMesh:
    """A running mesh and the pictures to scan against it."""

    mesh: Mesh
    products: dict[str, DemoProduct]
    folder: Path

    def scan(self, photo: bytes, *, timeout: float = 20.0, explain: bool = False) -> gateway_pb2.ScanResponse:
        request = gateway_pb2.ScanRequest(image=Image(encoded=photo), explain=explain)
        with grpc.insecure_channel(self.mesh.layout.target("gateway")) as channel:
            return GatewayServiceStub(channel).Scan(request, timeout=timeout)

    def photo(self, key: str, seed: int = 3) -> bytes:
        """A mild simulated phone shot of a product."""
        picture = self.pixels(key)
        backdrop = np.full((64, 64, 3), (150, 140, 120), np.uint8)
        mild = PhoneShot(perspective=0.06, cover=(0.85, 0.95), light=0.2, cast=0.05, blur=0.8, noise=3.0)
        return shoot(picture, backdrop, seed, size=640, shot=mild)

    def pixels(self, key: str) -> np.ndarray:
        return np.ascontiguousarray(cv2.imread(str(self.products[key].picture))[..., ::-1])

    def write_feed(self, keys: tuple[str, ...], name: str = "feed.csv") -> Path:
        path = self.folder / name
        path.write_text(feed([self.products[key] for key in keys], self.folder), encoding="utf-8")
        return path

    def start_import(self, path: Path) -> str:
        """Starts an import and returns its operation's name."""
        request = catalog_pb2.ImportProductsRequest(feed_uri=path.resolve().as_uri())
        with grpc.insecure_channel(self.mesh.layout.target("catalog")) as channel:
            return CatalogServiceStub(channel).ImportProducts(request, timeout=20).name

    def finish_import(self, name: str, timeout: float = 120.0) -> catalog_pb2.ImportProductsResponse:
        """Waits for an import, through restarts of the catalog."""
        deadline = time.monotonic() + timeout
        with grpc.insecure_channel(self.mesh.layout.target("catalog")) as channel:
            stub = operations_pb2_grpc.OperationsStub(channel)
            while True:
                try:
                    operation = stub.GetOperation(operations_pb2.GetOperationRequest(name=name), timeout=5)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    operation = operations_pb2.Operation()
                if operation.done:
                    assert not operation.HasField("error"), operation.error
                    response = catalog_pb2.ImportProductsResponse()
                    operation.response.Unpack(response)
                    return response
                assert time.monotonic() < deadline, f"the import {name} is not done after {timeout:.0f} s"
                time.sleep(0.1)


def start(home: Path, extra: dict[str, str] | None = None, port: int | None = None) -> DemoMesh:
    """Starts a mesh in `home`, not ready yet; its `mesh` is to be entered and stopped by the caller.

    port: the first of its ports; None: free ones.
    """
    os.chdir(ROOT)
    cache = ROOT / ".cache" / "demo"
    products = {product.key: product for product in fetch(cache)}
    folder = home / "feeds"
    folder.mkdir(parents=True)
    (folder / "package").symlink_to(cache.resolve() / "package")
    layout = Layout(home, port or free_ports(), ROOT / "models", import_roots=(folder, cache), extra=extra or {})
    local = {key: _at(product, cache, folder) for key, product in products.items()}
    return DemoMesh(Mesh(layout), local, folder)


def _at(product: DemoProduct, cache: Path, folder: Path) -> DemoProduct:
    return DemoProduct(**{**vars(product), "picture": folder / product.picture.relative_to(cache)})


def eventually(check: Callable[[], bool], timeout: float = 30.0) -> None:
    """Returns when the check holds, and fails when it does not in time."""
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, f"still not so after {timeout:.0f} s"
        time.sleep(0.1)

"""The demo: a mesh, a small catalogue, phone shots of some of its products, and what a scan makes of them.

python -m evaluation.demo
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import grpc
import numpy as np
from rich.console import Console

from evaluation.demo_catalogue import ARTICLES, SCANNED, DemoError, DemoProduct, feed, fetch
from evaluation.phone_shots import shoot
from shiwu.cli.answer import print_answer
from shiwu.cli.catalog import import_feed
from shiwu.cli.connection import connected
from shiwu.cli.drawing import draw_answer
from shiwu.cli.mesh import Layout, Mesh, MeshError, free_ports
from shiwu.inference.manifest import read_manifest
from shiwu.inference.released import EMBEDDER
from shiwu.v1 import catalog_pb2, gateway_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import Article
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image
from shiwu.vision.resize import Image as Pixels

_CACHE = Path(".cache/demo")
_HOME = Path(".shiwu/demo")  # a folder in it for each model, since a model's index is of no use to another
_EMBEDDER = Path("models", EMBEDDER)
_OUT = Path("build/demo")


def main() -> None:
    """Runs the demo; exits with 1 and a clear line when it cannot."""
    console = Console()
    began = time.perf_counter()
    try:
        products = fetch(_CACHE)
        shots = _phone_shots(products)
        layout = Layout(home=_HOME / read_manifest(_EMBEDDER).id, port=free_ports(), import_roots=(_CACHE,))
        with Mesh(layout) as mesh:
            with console.status("starting six services"):
                mesh.wait_ready()
            console.print(f"six services are up after {time.perf_counter() - began:.1f} s")
            _import(products, layout)
            for product, photo in shots:
                _scan(product, photo, layout, console)
    except (DemoError, MeshError) as error:
        console.print(str(error), style="red", highlight=False, markup=False)
        sys.exit(1)
    console.print(f"\nfinished in {time.perf_counter() - began:.1f} s; the drawings are in {_OUT}")
    console.print("next: [bold]make up[/] here, and [bold].venv/bin/shiwu scan PHOTO --explain[/] in another terminal")


def _phone_shots(products: list[DemoProduct]) -> list[tuple[DemoProduct, Path]]:
    """Simulated phone shots, each before another product's picture out of focus."""
    _OUT.mkdir(parents=True, exist_ok=True)
    by_key = {product.key: product for product in products}
    shots = []
    for i, key in enumerate(SCANNED):
        file = _OUT / f"{key}.jpg"
        background = by_key[SCANNED[i - 1]]
        file.write_bytes(shoot(pixels(by_key[key].picture), pixels(background.picture), seed=i))
        shots.append((by_key[key], file))
    return shots


def pixels(path: Path) -> Pixels:
    """RGB. Raises DemoError for a file that is no picture."""
    bgr = cv2.imread(str(path))
    if bgr is None:
        msg = f"{path} is not a picture"
        raise DemoError(msg)
    return np.ascontiguousarray(bgr[..., ::-1], np.uint8)


def _import(products: list[DemoProduct], layout: Layout) -> None:
    path = _CACHE / "feed.csv"
    path.write_text(feed(products, _CACHE), encoding="utf-8")
    if not import_feed(path, "", layout.target("catalog")):
        msg = "the demo's own feed has bad rows"
        raise DemoError(msg)
    with connected(layout.target("catalog")) as channel:
        stub = CatalogServiceStub(channel)
        for article_id, title, category, body, product_ids in ARTICLES:
            article = Article(article_id=article_id, title=title, category=category, body=body, product_ids=product_ids)
            try:
                stub.CreateArticle(catalog_pb2.CreateArticleRequest(article=article), timeout=10)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.ALREADY_EXISTS:  # from the demo's last run
                    raise


def _scan(product: DemoProduct, photo: Path, layout: Layout, console: Console) -> None:
    data = photo.read_bytes()
    request = gateway_pb2.ScanRequest(image=Image(encoded=data))
    with connected(layout.target("gateway")) as channel:
        began = time.perf_counter()
        answer = GatewayServiceStub(channel).Scan(request, timeout=30)
        elapsed = time.perf_counter() - began
    drawing = photo.with_suffix(".png")
    draw_answer(data, answer, layout.target("catalog")).save(drawing)
    console.rule(f"a simulated phone shot of: {product.title}", align="left")
    print_answer(console, answer)
    console.print(f"[dim]{elapsed * 1e3:.0f} ms · drawn: {drawing}[/]")


if __name__ == "__main__":
    main()

"""A dump of an encyclopedia goes in; a scan's answer tells the article about the thing in the photo."""

from __future__ import annotations

import bz2
import subprocess
import sys
from pathlib import Path

import grpc

from shiwu.v1 import catalog_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from tests.demo_mesh import ROOT, DemoMesh
from tests.unit.offline.indexing.articles.dumps import dump, page

DUMP = dump(
    page(1, "Instant camera", "An '''instant camera''' is a [[camera]] that prints its pictures on [[film]]."),
    page(2, "Polaroid Corporation", "'''Polaroid''' was an American company known for its instant film and cameras."),
    page(3, "Camera (instant)", "#REDIRECT [[Instant camera]]", redirect="Instant camera"),
    page(4, "Cactus", "A '''cactus''' is a plant with spines."),
)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "offline.indexing.articles", *arguments]
    return subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True)


def test_an_imported_and_linked_article_is_in_the_answer(demo: DemoMesh, tmp_path: Path) -> None:
    path, target = tmp_path / "dump.xml.bz2", demo.mesh.layout.target("catalog")
    path.write_bytes(bz2.compress(DUMP))
    with grpc.insecure_channel(target) as channel:
        catalog = CatalogServiceStub(channel)
        try:
            done = command("import", str(path), "--catalog", target, "--work", str(tmp_path / "import"))
            assert "3 added" in done.stdout
            command("link", "--catalog", target, "--work", str(tmp_path / "links"))
            answer = demo.scan(demo.photo("instant-camera"))
            assert answer.styles[0].products[0].product.product_id == "instant-camera"
            first = answer.articles[0]
            assert (first.article_id, first.url) == ("testwiki:1", "https://wiki.example/wiki/Instant_camera")
            assert first.body == "An instant camera is a camera that prints its pictures on film."
            assert first.product_scores[list(first.product_ids).index("instant-camera")] > 0.4
            again = command("import", str(path), "--catalog", target, "--work", str(tmp_path / "import"))
            assert "3 unchanged" in again.stdout
        finally:
            for article in catalog.ListArticles(catalog_pb2.ListArticlesRequest(page_size=1000), timeout=20).articles:
                catalog.DeleteArticle(catalog_pb2.DeleteArticleRequest(article_id=article.article_id), timeout=20)

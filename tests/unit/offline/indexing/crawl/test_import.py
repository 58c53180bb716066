"""What was crawled is a feed that the catalogue imports, pictures and all."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from offline.indexing.crawl.__main__ import main
from services.catalog.import_settings import ImportSettings
from services.catalog.resources import State
from shiwu.wire.fetching import FetchSettings
from tests.unit.catalog_import.assembly import assembled
from tests.unit.catalog_import.conftest import migrated, peers, url  # noqa: F401  # fixtures
from tests.unit.catalog_import.importing import imported
from tests.unit.catalog_import.peers import Peers
from tests.unit.offline.indexing.crawl.shop import Reply, Shop, page, product
from tests.unit.offline.indexing.crawl.test_crawl import command, written


async def test_a_crawled_feed_is_imported_and_a_second_crawl_closes_what_vanished(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    url: str,  # noqa: F811
    peers: Peers,  # noqa: F811
):
    with Shop().running() as shop:
        pages = {f"/p/{n}": Reply(page(product(f"Toy {n}", f"/img/{n}.png", sku=str(n)))) for n in range(6)}
        pictures = {path: reply for path, reply in shop.replies.items() if path.startswith("/img/")}
        fetch = FetchSettings(allowed_networks=("127.0.0.1/32",), attempts=1)
        settings = ImportSettings(roots=(tmp_path,), errors=tmp_path / "errors", fetch=fetch)

        async def crawl(names: list[str], run: str) -> str:
            shop.replies = pages | pictures | {"/": Reply(page(links=tuple(names)))}
            (tmp_path / run).mkdir()
            monkeypatch.setattr(sys, "argv", ["crawl", *command(written(shop, tmp_path / run), tmp_path / run)])
            assert await asyncio.to_thread(main) == 0
            return str(tmp_path / run / f"{shop.host.replace(':', '_')}.jsonl")

        async with assembled(url, peers.targets, settings) as catalogue:
            first = await imported(catalogue, await crawl(sorted(pages), "a"), complete=True)
            assert (first.state, first.error, first.rows_failed) == (State.SUCCEEDED, "", 0)
            assert (first.products_written, first.images_indexed, first.offers_closed) == (6, 6, 0)
            second = await imported(catalogue, await crawl(sorted(pages)[:4], "b"), complete=True)
            assert (second.products_written, second.images_indexed, second.images_unchanged) == (0, 0, 4)
            assert second.offers_closed == 2
            offers = await catalogue.store.list_offers(after="", limit=10)
            assert sorted(offer.url for offer in offers if offer.available) == [f"{shop.url}/p/{n}" for n in range(4)]


async def test_every_row_of_a_shop_with_flaws_can_be_imported(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    url: str,  # noqa: F811
    peers: Peers,  # noqa: F811
):
    with Shop().running() as shop:
        shop.replies["/p/shoes"] = Reply(page(product("Runner", "/img/1.png", category="Shoes", sku="TR-1")))
        monkeypatch.setattr(sys, "argv", ["crawl", *command(written(shop, tmp_path), tmp_path / "out")])
        assert await asyncio.to_thread(main) == 0
        fetch = FetchSettings(allowed_networks=("127.0.0.1/32",), attempts=1)
        settings = ImportSettings(roots=(tmp_path,), errors=tmp_path / "errors", fetch=fetch)
        async with assembled(url, peers.targets, settings) as catalogue:
            feed = tmp_path / "out" / f"{shop.host.replace(':', '_')}.jsonl"
            operation = await imported(catalogue, str(feed))
            problems = await catalogue.store.list_problems(operation.operation_id)
            assert [problem.problem for problem in problems] == []
            assert (operation.products_written, operation.images_indexed) == (11, 11)
            [shirt] = await catalogue.store.list_styles(after="", limit=10)
            assert shirt.title == "Shirt"

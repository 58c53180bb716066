"""Pictures on the web: only those that are new or have changed are sent and embedded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.catalog.import_settings import ImportSettings
from services.catalog.resources import State
from shiwu.wire.fetching import FetchSettings
from tests.unit.catalog_import.assembly import Catalogue
from tests.unit.catalog_import.conftest import Shop
from tests.unit.catalog_import.importing import consistent, imported, snapshot
from tests.unit.catalog_import.peers import Peers
from tests.unit.catalog_import.picture_server import PictureServer


@pytest.fixture
def settings(tmp_path: Path) -> ImportSettings:
    fetch = FetchSettings(allowed_networks=("127.0.0.1/32",), attempts=1, timeout_seconds=5.0)
    return ImportSettings(
        roots=(tmp_path / "shop",), errors=tmp_path / "errors", batch_rows=4, retry_seconds=0.2, fetch=fetch
    )


@pytest.fixture
def server(shop: Shop) -> Iterator[PictureServer]:
    with PictureServer(shop.folder).running() as running:
        yield running


def web_feed(shop: Shop, server: PictureServer, count: int = 6, *, xml: bool = False) -> str:
    addresses = [f"{server.url}/{shop.picture(f'{n}.png', n)}" for n in range(count)]
    if not xml:
        return shop.feed(*(f"p{n},Product {n},shoes,M,{n + 1} USD,{address}" for n, address in enumerate(addresses)))
    items = "".join(
        f"<item><g:id>p{n}</g:id><title>Product {n}</title><g:product_type>shoes</g:product_type>"
        f"<g:price>{n + 1} USD</g:price><g:image_link>{address}</g:image_link></item>"
        for n, address in enumerate(addresses)
    )
    path = shop.folder / "feed.xml"
    path.write_text(f'<rss xmlns:g="http://base.google.com/ns/1.0"><channel>{items}</channel></rss>')
    return str(path)


@pytest.mark.parametrize(("etags", "dates"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("xml", [False, True])
async def test_an_unchanged_feed_is_asked_for_conditionally_and_embeds_nothing(
    catalogue: Catalogue, peers: Peers, shop: Shop, server: PictureServer, etags: bool, dates: bool, xml: bool
):
    server.etags, server.dates = etags, dates
    feed = web_feed(shop, server, xml=xml)
    first = await imported(catalogue, feed, default_merchant="M")
    assert (first.state, first.images_indexed, first.images_unchanged) == (State.SUCCEEDED, 6, 0)
    before = await snapshot(catalogue)
    server.statuses.clear()
    peers.embedder.switch.calls.clear()
    peers.detector.switch.calls.clear()
    again = await imported(catalogue, feed, default_merchant="M")
    assert (again.state, again.images_indexed, again.images_unchanged) == (State.SUCCEEDED, 0, 6)
    assert server.statuses == {304: 6}
    assert peers.embedder.switch.calls["Embed"] == peers.detector.switch.calls["Detect"] == 0
    assert await snapshot(catalogue) == before


async def test_a_changed_picture_alone_is_sent_and_embedded_again(
    catalogue: Catalogue, peers: Peers, shop: Shop, server: PictureServer
):
    feed = web_feed(shop, server)
    await imported(catalogue, feed)
    shop.picture("3.png", 1003)
    for expected in ({200: 1, 304: 5}, {304: 6}):
        server.statuses.clear()
        peers.embedder.switch.calls.clear()
        again = await imported(catalogue, feed)
        assert server.statuses == expected
        assert peers.embedder.switch.calls["Embed"] == again.images_indexed == expected.get(200, 0)
        assert again.images_unchanged == expected[304]
        assert await consistent(catalogue, peers)


async def test_a_server_that_names_no_state_sends_everything_and_nothing_is_embedded(
    catalogue: Catalogue, peers: Peers, shop: Shop, server: PictureServer
):
    feed = web_feed(shop, server)
    await imported(catalogue, feed)
    server.etags = False  # the states that are known are worth nothing from now on
    for expected in ({200: 6}, {200: 6}):
        server.statuses.clear()
        again = await imported(catalogue, feed)
        assert (server.statuses, again.images_indexed, again.images_unchanged) == (expected, 0, 6)
    assert peers.embedder.switch.calls["Embed"] == 6


async def test_a_new_version_of_the_embedder_needs_the_pictures_again(
    catalogue: Catalogue, peers: Peers, shop: Shop, server: PictureServer
):
    feed = web_feed(shop, server)
    await imported(catalogue, feed)
    peers.embedder.version = 2
    server.statuses.clear()
    again = await imported(catalogue, feed)
    assert (server.statuses, again.images_indexed) == ({200: 6}, 6)


async def test_a_time_that_a_file_may_have_changed_after_is_no_state(
    catalogue: Catalogue, shop: Shop, server: PictureServer
):
    """Written within the second in which it was sent, it may be written again in that second."""
    server.etags, server.dates, server.age = False, True, 0.0
    feed = web_feed(shop, server, 2)
    await imported(catalogue, feed)
    await imported(catalogue, feed)
    assert server.statuses == {200: 4}


async def test_an_address_that_redirects_has_no_state(catalogue: Catalogue, shop: Shop, server: PictureServer):
    """What it leads to now may have been there, unchanged, for longer than what it led to before."""
    feed = web_feed(shop, server, 1)
    await imported(catalogue, feed)
    shop.picture("other.png", 77)
    server.redirects["/0.png"] = f"{server.url}/other.png"
    for embedded in (1, 0):
        server.statuses.clear()
        again = await imported(catalogue, feed)
        assert again.images_indexed == embedded
        assert server.statuses[304] == 0


async def test_a_picture_deleted_during_an_import_does_not_fail_it(
    catalogue: Catalogue, shop: Shop, server: PictureServer
):
    """Its state is new, but its row is gone."""
    server.etags = False
    feed = web_feed(shop, server, 4)
    await imported(catalogue, feed)
    server.etags = True
    find = catalogue.store.find_image_states

    async def find_and_delete(image_ids):
        found = await find(image_ids)
        for image in await catalogue.store.suspend_images(product_id="p2"):
            await catalogue.store.delete_image(image)
        return found

    catalogue.store.find_image_states = find_and_delete
    again = await imported(catalogue, feed)
    assert (again.state, again.rows_failed) == (State.SUCCEEDED, 0)
    catalogue.store.find_image_states = find
    assert (await imported(catalogue, feed)).images_indexed == 1

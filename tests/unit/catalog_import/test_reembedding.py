"""A new version of the embedder beside the old one: what is made, what is not, and what survives what."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.catalog.import_settings import ImportSettings
from services.catalog.picture_sources import PictureSource
from services.catalog.reembedding import Reembedding, sources
from services.catalog.resources import Product
from shiwu.chassis.errors import PreconditionError
from shiwu.vision.decode import Limits
from shiwu.wire import pictures
from shiwu.wire.fetching import Fetcher
from tests.unit.catalog_import.assembly import Catalogue
from tests.unit.catalog_import.conftest import Shop
from tests.unit.catalog_import.peers import Peers

OLD, NEW = "general@1", "general@2"


def reembedding(catalogue: Catalogue, settings: ImportSettings) -> Reembedding:
    fetcher = Fetcher(settings.fetch)
    places = sources(settings.roots, lambda folder: PictureSource(folder, settings.roots, fetcher, 10**7))
    return Reembedding(catalogue.store, catalogue.ingest, catalogue.indexer, places, Limits(), at_once=4)


async def stock(catalogue: Catalogue, shop: Shop, count: int) -> list[str]:
    """Products with a picture each, from files of the shop."""
    for number in range(count):
        name = shop.picture(f"{number}.png", number)
        await catalogue.store.create_product(Product(f"p{number}", "Boot", "shoes"))
        picture = pictures.from_file((shop.folder / name).read_bytes(), Limits())
        await catalogue.ingest.add(image_id=f"i{number}", product_id=f"p{number}", picture=picture, uri=name)
    return [f"i{number}" for number in range(count)]


def nothing(_made: int, _lost: int) -> None:
    return


def of_model(peers: Peers, model: str) -> set[str]:
    return {image_id for each, image_id in peers.search.by_model if each == model}


async def test_every_picture_gets_a_vector_beside_the_one_that_it_has(
    catalogue: Catalogue, peers: Peers, shop: Shop, settings: ImportSettings
):
    ids = await stock(catalogue, shop, 5)
    before = {key: record.vector for key, record in peers.search.by_model.items()}
    with pytest.raises(PreconditionError, match=r"does not run general@2, but general@1"):
        await reembedding(catalogue, settings).build(NEW, nothing)
    peers.embedder.others = (2,)
    outcome = await reembedding(catalogue, settings).build(NEW, nothing)
    assert (outcome.made, outcome.lost) == (5, {})
    assert of_model(peers, NEW) == set(ids)
    for image_id in ids:
        assert peers.search.by_model[OLD, image_id].vector == before[OLD, image_id]
        assert peers.search.by_model[NEW, image_id].vector != before[OLD, image_id]
    assert (await catalogue.store.get_image("i0")).index_time is not None
    again = await reembedding(catalogue, settings).build(NEW, nothing)
    assert again.made == 0


async def test_features_that_are_missing_or_anothers_are_made(
    catalogue: Catalogue, peers: Peers, shop: Shop, settings: ImportSettings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.catalog.reembedding._CROPS", 2)
    ids = await stock(catalogue, shop, 5)
    whole = await catalogue.store.find_local_features(ids)
    digests = {image_id: (await catalogue.store.get_image(image_id)).sha256 for image_id in ids}
    lost = {"i0": (digests["i0"], b""), "i2": (digests["i2"], b""), "i3": (digests["i3"], b"\x01 of another release")}
    await catalogue.store.set_local_features(lost)
    (shop.folder / "2.png").unlink()
    vectors = peers.embedder.switch.calls["Embed"]
    told = list[tuple[int, int]]()
    outcome = await reembedding(catalogue, settings).describe(lambda *each: told.append(each))
    assert outcome.made == 2
    assert list(outcome.lost) == ["i2"]
    assert told == [(1, 1), (2, 1)]
    assert await catalogue.store.find_local_features(ids) == {key: whole[key] for key in ids if key != "i2"}
    assert peers.embedder.switch.calls["Embed"] == vectors
    assert (await reembedding(catalogue, settings).describe(nothing)).made == 0


async def test_what_comes_meanwhile_gets_both_and_what_changes_changes_in_both(
    catalogue: Catalogue, peers: Peers, shop: Shop, settings: ImportSettings
):
    peers.embedder.others = (2,)
    await stock(catalogue, shop, 2)
    assert of_model(peers, OLD) == of_model(peers, NEW) == {"i0", "i1"}
    await catalogue.store.update_product("p0", {"category": "bags"})
    await catalogue.indexer.repair()
    assert {peers.search.by_model[model, "i0"].category for model in (OLD, NEW)} == {"bags"}
    await catalogue.store.suspend_images(image_id="i1")
    await reembedding(catalogue, settings).delete(["i1"])
    assert of_model(peers, OLD) == of_model(peers, NEW) == {"i0"}


async def test_a_run_that_is_killed_goes_on_where_it_was(
    catalogue: Catalogue, peers: Peers, shop: Shop, settings: ImportSettings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.catalog.reembedding._CROPS", 2)
    ids = await stock(catalogue, shop, 7)
    peers.embedder.others = (2,)
    peers.embedder.switch.seconds = 0.1
    embedded = peers.embedder.switch.calls["Embed"]
    running = asyncio.create_task(reembedding(catalogue, settings).build(NEW, nothing))
    while not of_model(peers, NEW):  # noqa: ASYNC110 (a peer tells nobody)
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    made = len(of_model(peers, NEW))
    assert 0 < made < len(ids)
    peers.search.by_model.pop((NEW, "i0"))  # as if it had been killed between the row and the index
    await reembedding(catalogue, settings).build(NEW, nothing)
    assert of_model(peers, NEW) == set(ids)
    assert peers.embedder.switch.calls["Embed"] - embedded <= len(ids) + 4, "what was done is not done again"


async def test_waits_for_services_that_do_not_answer(
    catalogue: Catalogue, peers: Peers, shop: Shop, settings: ImportSettings
):
    await stock(catalogue, shop, 2)
    peers.embedder.others = (2,)
    peers.search.switch.down = True
    running = asyncio.create_task(reembedding(catalogue, settings).build(NEW, nothing))
    await asyncio.sleep(0.5)
    assert not running.done()
    peers.search.switch.down = False
    assert (await asyncio.wait_for(running, 20)).made == 2


async def test_pictures_that_cannot_be_made_again_are_told(
    catalogue: Catalogue, peers: Peers, shop: Shop, settings: ImportSettings
):
    await stock(catalogue, shop, 4)
    (shop.folder / "1.png").unlink()
    shop.picture("2.png", 99)
    data = (shop.folder / "3.png").read_bytes()
    picture = pictures.from_file(data, Limits())
    await catalogue.ingest.add(image_id="sent", product_id="p3", picture=picture)
    peers.embedder.others = (2,)
    outcome = await reembedding(catalogue, settings).build(NEW, nothing)
    assert outcome.made == 2
    assert {image_id: reason.split(":")[0] for image_id, reason in outcome.lost.items()} == {
        "i1": "cannot be read",
        "i2": "is another picture now; import it again",
        "sent": "came without an address",
    }


async def test_the_old_version_is_forgotten_once_the_embedder_does_not_run_it(
    catalogue: Catalogue, peers: Peers, shop: Shop, settings: ImportSettings
):
    await stock(catalogue, shop, 3)
    peers.embedder.others = (2,)
    (shop.folder / "2.png").unlink()
    job = reembedding(catalogue, settings)
    await job.build(NEW, nothing)
    with pytest.raises(PreconditionError, match=r"still runs general@1"):
        await job.promote(NEW, OLD)
    peers.embedder.version, peers.embedder.others = 2, ()
    for _ in range(2):
        assert await job.promote(NEW, OLD) == ["i2"]
    assert {image.model for image in await catalogue.store.list_images(after="", limit=9)} == {NEW, OLD}
    records = await catalogue.store.index_records(["i0", "i1"])
    assert {(record.image_id, record.model) for record in records} == {("i0", NEW), ("i1", NEW)}
    assert records[0].vector == peers.search.by_model[NEW, "i0"].vector
    await job.delete(["i2"])
    assert of_model(peers, OLD) == {"i0", "i1"}, "search drops these"
    assert await catalogue.ingest.verify_all() == 0


def test_addresses_are_looked_up_in_every_folder_with_a_feed(tmp_path: Path) -> None:
    for folder in ("a", "b/c", "d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a/feed.csv").touch()
    (tmp_path / "b/c/feed.jsonl").touch()
    seen: list[Path] = []
    sources([tmp_path], seen.append)
    assert seen == [tmp_path / "a", tmp_path / "b/c", tmp_path]

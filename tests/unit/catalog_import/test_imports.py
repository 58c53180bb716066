"""Imports: whole feeds, bad rows, outages, crashes, repetition."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from services.catalog.import_settings import ImportSettings
from services.catalog.resources import Operation, State
from services.catalog.sql import tables
from shiwu.chassis.calls import Call, current_call
from shiwu.chassis.errors import InvalidInputError
from shiwu.wire.ids import image_id
from tests.unit.catalog_import.assembly import Catalogue, assembled
from tests.unit.catalog_import.conftest import Shop
from tests.unit.catalog_import.peers import Peers

ROOT = Path(__file__).parents[3]


def read_lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, "it took too long"
        await asyncio.sleep(0.02)


async def ended(catalogue: Catalogue, operation_id: str) -> Operation:
    async def done() -> bool:
        return (await catalogue.store.get_operation(operation_id)).state is not State.RUNNING

    await until(done)
    return await catalogue.store.get_operation(operation_id)


async def imported(catalogue: Catalogue, feed: str, **options: str) -> Operation:
    started = await catalogue.imports.start(feed_uri=feed, **options)
    catalogue.imports.resume_all()
    operation = await ended(catalogue, started.operation_id)
    await catalogue.imports.close()
    return operation


async def snapshot(catalogue: Catalogue) -> object:
    """All that an import writes, with the times."""
    store = catalogue.store
    everything = {"after": "", "limit": 1000}
    return (
        await store.list_products(**everything),
        await store.list_styles(**everything),
        await store.list_offers(**everything),
        await store.list_images(**everything),
    )


async def consistent(catalogue: Catalogue, peers: Peers) -> bool:
    """Whether the index holds exactly what the rows say."""
    images = await catalogue.store.list_images(after="", limit=1000)
    records = {each.image_id: each for each in await catalogue.store.index_records([i.image_id for i in images])}
    held = {
        image_id: (model, record.vector, record.style_id) for image_id, (model, record) in peers.search.records.items()
    }
    return all(image.index_time for image in images) and held == {
        key: (record.model, record.vector, record.style_id) for key, record in records.items()
    }


async def test_a_feed_becomes_products_styles_offers_and_pictures(catalogue: Catalogue, peers: Peers, shop: Shop):
    feed = shop.feed(
        f"p1,Boot,shoes,s1,Boots,M1,10.50 USD,{shop.picture('a/1.png', 1)}|{shop.picture('2.png', 2)}",
        f"p1,Other title,toys,s2,Other,M2,9 USD,{shop.picture('3.png', 3)}",
        f"p2,Bag,bags,s3,,M1,5 USD,{shop.picture('4.png', 4)}",
        "p3,Sock,clothing,,,,,",
        header="product_id,title,category,style_id,style_title,merchant,price,images",
    )
    operation = await imported(catalogue, feed)
    assert (operation.state, operation.error) == (State.SUCCEEDED, "")
    assert (operation.rows_total, operation.rows_done, operation.rows_failed) == (4, 4, 0)
    assert (operation.products_written, operation.images_indexed, operation.errors_path) == (3, 4, "")
    assert operation.index_time is not None
    products = {each.product_id: each for each in await catalogue.store.list_products(after="", limit=10)}
    # The first row that names a product decides what it is.
    assert (products["p1"].title, products["p1"].category, products["p1"].style_id) == ("Boot", "shoes", "s1")
    styles = {each.style_id: each.title for each in await catalogue.store.list_styles(after="", limit=10)}
    assert styles == {"s1": "Boots", "s3": "Bag"}
    offers = [(each.product_id, each.merchant) for each in await catalogue.store.list_offers(after="", limit=10)]
    assert sorted(offers) == [("p1", "M1"), ("p1", "M2"), ("p2", "M1")]
    images = {each.uri: each for each in await catalogue.store.list_images(after="", limit=10)}
    assert {uri: (each.product_id, each.model) for uri, each in images.items()} == {
        "a/1.png": ("p1", "general@1"),
        "2.png": ("p1", "general@1"),
        "3.png": ("p1", "general@1"),
        "4.png": ("p2", "bags@1"),
    }
    assert await consistent(catalogue, peers)


async def test_the_same_feed_again_changes_nothing_and_embeds_nothing(catalogue: Catalogue, peers: Peers, shop: Shop):
    feed = shop.simple(10)
    await imported(catalogue, feed)
    before, calls = await snapshot(catalogue), dict(peers.embedder.switch.calls | peers.search.switch.calls)
    again = await imported(catalogue, feed)
    assert (again.state, again.products_written, again.images_indexed) == (State.SUCCEEDED, 0, 0)
    assert await snapshot(catalogue) == before
    after = peers.embedder.switch.calls | peers.search.switch.calls
    assert (after["Embed"], after["Upsert"]) == (calls["Embed"], calls["Upsert"])
    assert peers.detector.switch.calls["Detect"] == 10


async def test_only_what_has_changed_is_embedded_again(catalogue: Catalogue, peers: Peers, shop: Shop):
    feed = shop.simple(10)
    await imported(catalogue, feed)
    vectors = {key: record.vector for key, (_, record) in peers.search.records.items()}
    shop.picture("3.png", 1003)
    again = await imported(catalogue, feed)
    assert again.images_indexed == 1
    changed = image_id("p3", "3.png")
    assert peers.search.records[changed][1].vector != vectors.pop(changed)
    assert all(peers.search.records[key][1].vector == vector for key, vector in vectors.items())


async def test_a_new_version_of_the_embedder_embeds_everything_again(catalogue: Catalogue, peers: Peers, shop: Shop):
    feed = shop.simple(6)
    await imported(catalogue, feed)
    peers.embedder.version = 2
    again = await imported(catalogue, feed)
    assert (again.products_written, again.images_indexed) == (0, 6)
    assert {model for model, _ in peers.search.records.values()} == {"general@2"}


async def test_a_product_that_moves_to_another_style_takes_its_vectors_along(
    catalogue: Catalogue, peers: Peers, shop: Shop
):
    header = "product_id,title,category,style_id,images"
    await imported(catalogue, shop.feed(f"p1,Boot,shoes,s1,{shop.picture('1.png', 1)}", header=header))
    again = await imported(catalogue, shop.feed("p1,Boot,shoes,s2,1.png", header=header))
    assert again.products_written == 1
    assert peers.embedder.switch.calls["Embed"] == 1
    assert peers.search.records[image_id("p1", "1.png")][1].style_id == "s2"


async def test_bad_rows_are_reported_in_a_file_and_the_good_ones_kept(catalogue: Catalogue, peers: Peers, shop: Shop):
    (shop.folder / "text.jpg").write_text("not a picture")
    (shop.folder / "empty.jpg").write_bytes(b"")
    whole = (shop.folder / shop.picture("whole.png", 1)).read_bytes()
    (shop.folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (shop.folder / "copy.png").write_bytes(whole)
    feed = shop.feed(
        "p1,Good,shoes,M,1 USD,whole.png",  # line 2
        "p2,Bad price,shoes,M,cheap,",
        "p3,No file,shoes,M,1 USD,missing.png",
        "p4,No picture,shoes,M,1 USD,text.jpg",
        "p5,Empty,shoes,M,1 USD,empty.jpg",
        "p6,Cut,shoes,M,1 USD,truncated.png",
        "p7,Twice,shoes,M,1 USD,whole.png|copy.png",
        "p8,Outside,shoes,M,1 USD,../../etc/passwd",
        "p9,Inside,shoes,M,1 USD,http://127.0.0.1:1/a.jpg",
        "p10,One good one bad,shoes,M,1 USD,whole.png|missing.png",
        "p1,Again,shoes,M,1 USD,",
        "p11,Ragged,shoes",
        "p12,No cars,cars,M,1 USD,",
        "p13,Good,shoes,M,1 USD,",
    )
    operation = await imported(catalogue, feed)
    assert (operation.state, operation.rows_done, operation.rows_failed) == (State.SUCCEEDED, 14, 12)
    products = [each.product_id for each in await catalogue.store.list_products(after="", limit=100)]
    assert sorted(products) == ["p1", "p13"]
    assert len(peers.search.records) == 1
    lines = [json.loads(line) for line in read_lines(operation.errors_path)]
    assert {line["row"]: (line["field"], line["problem"]) for line in lines} == {
        3: ("price", "'cheap' is not a price; expected a number like 1299.00 or 1,299.00"),
        4: ("images", "'missing.png': cannot be read: No such file or directory"),
        5: ("images", lines[2]["problem"]),
        6: ("images", "'empty.jpg': is not usable: the file is empty; expected a JPEG, PNG, WebP or HEIC picture"),
        7: ("images", lines[4]["problem"]),
        8: ("images", "'copy.png': is the same picture as 'whole.png'; list it once"),
        9: ("images", lines[6]["problem"]),
        10: ("images", "'http://127.0.0.1:1/a.jpg': the host 127.0.0.1 is at 127.0.0.1, which is not a public address"),
        11: ("images", "'missing.png': cannot be read: No such file or directory"),
        12: ("product_id", "the same product of the same merchant stands in line 2 already"),
        13: ("", "has 3 cells; the header has 6"),
        14: ("category", lines[11]["problem"]),
    }
    assert "of no known type" in lines[2]["problem"]
    assert "the PNG file is truncated" in lines[4]["problem"]
    assert "leads out of the feed's folder" in lines[6]["problem"]
    assert lines[0]["record"]["title"] == "Bad price"


@pytest.mark.parametrize("name", ["detector", "embedder", "search"])
async def test_an_outage_is_waited_out_and_is_nobodys_row_error(
    catalogue: Catalogue, peers: Peers, shop: Shop, name: str
):
    switch = getattr(peers, name).switch
    started = await catalogue.imports.start(feed_uri=shop.simple(12))
    catalogue.imports.resume_all()

    async def first_batch() -> bool:
        return (await catalogue.store.get_operation(started.operation_id)).rows_done >= 4

    await until(first_batch)
    switch.down = True
    await asyncio.sleep(1.0)
    during = await catalogue.store.get_operation(started.operation_id)
    assert (during.state, during.rows_failed) == (State.RUNNING, 0)
    switch.down = False
    operation = await ended(catalogue, started.operation_id)
    assert (operation.state, operation.rows_failed, operation.products_written) == (State.SUCCEEDED, 0, 12)
    assert operation.images_indexed == 12
    assert await consistent(catalogue, peers)


async def test_an_index_that_loses_what_it_acknowledged_is_whole_again_at_the_end(
    catalogue: Catalogue, peers: Peers, shop: Shop
):
    peers.search.switch.seconds = 0.05
    started = await catalogue.imports.start(feed_uri=shop.simple(16))
    catalogue.imports.resume_all()

    async def half() -> bool:
        return (await catalogue.store.get_operation(started.operation_id)).rows_done >= 8

    await until(half)
    peers.search.records.clear()
    operation = await ended(catalogue, started.operation_id)
    assert operation.images_indexed == 16
    assert len(peers.search.records) == 16
    assert await consistent(catalogue, peers)


async def test_a_stopped_process_hands_its_import_over(
    catalogue: Catalogue, url: str, peers: Peers, settings: ImportSettings, shop: Shop
):
    peers.embedder.switch.seconds = 0.1
    started = await catalogue.imports.start(feed_uri=shop.simple(20))
    catalogue.imports.resume_all()

    async def begun() -> bool:
        return (await catalogue.store.get_operation(started.operation_id)).rows_done >= 4

    await until(begun)
    await catalogue.imports.close()
    stopped = await catalogue.store.get_operation(started.operation_id)
    assert stopped.state is State.RUNNING
    assert stopped.rows_done < 20
    peers.embedder.switch.seconds = 0.0
    async with assembled(url, peers.targets, settings) as other:
        beginning = time.monotonic()
        other.imports.resume_all()
        operation = await ended(other, started.operation_id)
        assert time.monotonic() - beginning < settings.lease_seconds  # the lease was given back
    assert (operation.state, operation.rows_done, operation.products_written) == (State.SUCCEEDED, 20, 20)
    assert operation.images_indexed == 20
    assert await consistent(catalogue, peers)


@pytest.mark.slow
async def test_a_killed_process_loses_nothing_and_does_nothing_twice(
    catalogue: Catalogue, url: str, peers: Peers, settings: ImportSettings, shop: Shop, tmp_path: Path
):
    rows = [f"p{n},Product {n},shoes,M,{n + 1} USD,{shop.picture(f'{n}.png', n)}" for n in range(40)]
    rows[5] = "p5,Bad,shoes,M,cheap,"
    started = await catalogue.imports.start(feed_uri=shop.feed(*rows))
    options = {"url": url, "targets": peers.targets, "settings": settings.model_dump(mode="json")}
    (tmp_path / "options.json").write_text(json.dumps(options))
    peers.embedder.switch.seconds = 0.05
    kills = 0
    while (operation := await catalogue.store.get_operation(started.operation_id)).state is State.RUNNING and kills < 3:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.unit.catalog_import.assembly", str(tmp_path / "options.json"), cwd=ROOT
        )
        try:

            async def further(done: int = operation.rows_done) -> bool:
                return (await catalogue.store.get_operation(started.operation_id)).rows_done > done

            await until(further, 40)
        finally:
            process.kill()
            await process.wait()
        kills += 1
    assert kills == 3
    assert operation.state is State.RUNNING
    peers.embedder.switch.seconds = 0.0
    catalogue.imports.resume_all()
    operation = await ended(catalogue, started.operation_id)
    assert (operation.state, operation.rows_done, operation.rows_failed) == (State.SUCCEEDED, 40, 1)
    assert (operation.products_written, operation.images_indexed) == (39, 39)
    assert len(read_lines(operation.errors_path)) == 1
    assert await consistent(catalogue, peers)
    # Only the batch in hand when the process died may be embedded twice: 4 rows a kill.
    assert 39 <= peers.embedder.switch.calls["Embed"] <= 39 + 4 * kills


async def test_two_processes_never_work_on_one_import(
    catalogue: Catalogue, url: str, peers: Peers, settings: ImportSettings, shop: Shop
):
    peers.embedder.switch.seconds = 0.05
    async with assembled(url, peers.targets, settings) as other:
        started = await catalogue.imports.start(feed_uri=shop.simple(40))
        catalogue.imports.resume_all()
        other.imports.resume_all()
        operation = await ended(catalogue, started.operation_id)
    assert (operation.state, operation.products_written) == (State.SUCCEEDED, 40)
    assert peers.embedder.switch.calls["Embed"] == 40


async def test_a_process_that_has_lost_its_lease_stops(
    catalogue: Catalogue, url: str, peers: Peers, settings, shop: Shop
):
    """As after a long pause of the process: by the time that it goes on, another one has the import."""
    peers.embedder.switch.seconds = 0.2
    started = await catalogue.imports.start(feed_uri=shop.simple(40))
    catalogue.imports.resume_all()

    async def begun() -> bool:
        return (await catalogue.store.get_operation(started.operation_id)).rows_done >= 4

    await until(begun)
    until_then = datetime.now(UTC) + timedelta(seconds=3)
    async with catalogue.store._database.write("steal") as connection:
        await connection.execute(update(tables.operations).values(lease_owner="thief", lease_until=until_then))
    await asyncio.sleep(0.5)
    stolen = await catalogue.store.get_operation(started.operation_id)
    await asyncio.sleep(1.0)
    assert (await catalogue.store.get_operation(started.operation_id)).rows_done == stolen.rows_done
    operation = await ended(catalogue, started.operation_id)  # the thief's lease runs out, and the import goes on
    assert (operation.state, operation.products_written) == (State.SUCCEEDED, 40)


async def test_work_does_not_inherit_the_deadline_of_the_call_that_began_it(
    catalogue: Catalogue, peers: Peers, shop: Shop
):
    peers.embedder.switch.seconds = 0.2
    started = await catalogue.imports.start(feed_uri=shop.simple(8))
    token = current_call.set(Call("/test", "request", "trace", time.monotonic() + 0.1))
    catalogue.imports.resume_all()
    current_call.reset(token)
    assert (await ended(catalogue, started.operation_id)).state is State.SUCCEEDED


async def test_an_import_is_cancelled(catalogue: Catalogue, peers: Peers, shop: Shop):
    peers.embedder.switch.seconds = 0.1
    started = await catalogue.imports.start(feed_uri=shop.simple(40))
    catalogue.imports.resume_all()

    async def begun() -> bool:
        return (await catalogue.store.get_operation(started.operation_id)).rows_done >= 4

    await until(begun)
    await catalogue.imports.cancel(started.operation_id)
    operation = await ended(catalogue, started.operation_id)
    assert (operation.state, operation.error) == (State.CANCELLED, "cancelled")
    assert 4 <= operation.rows_done < 40
    assert len(peers.search.records) == operation.rows_done
    assert await consistent(catalogue, peers)


async def test_an_import_that_waits_for_a_dead_embedder_can_be_cancelled(
    catalogue: Catalogue, peers: Peers, shop: Shop
):
    peers.embedder.switch.down = True
    started = await catalogue.imports.start(feed_uri=shop.simple(4))
    catalogue.imports.resume_all()
    await asyncio.sleep(0.5)
    await catalogue.imports.cancel(started.operation_id)
    assert (await ended(catalogue, started.operation_id)).state is State.CANCELLED


async def test_a_queued_import_can_be_cancelled(catalogue: Catalogue, shop: Shop):
    started = await catalogue.imports.start(feed_uri=shop.simple(4))
    await catalogue.imports.cancel(started.operation_id)
    catalogue.imports.resume_all()
    operation = await ended(catalogue, started.operation_id)
    assert (operation.state, operation.rows_done) == (State.CANCELLED, 0)


async def test_a_feed_that_changes_under_a_resumed_import_ends_it(catalogue: Catalogue, peers: Peers, shop: Shop):
    peers.embedder.switch.seconds = 0.1
    started = await catalogue.imports.start(feed_uri=shop.simple(20))
    catalogue.imports.resume_all()

    async def begun() -> bool:
        return (await catalogue.store.get_operation(started.operation_id)).rows_done >= 4

    await until(begun)
    await catalogue.imports.close()
    shop.simple(19)
    catalogue.imports.resume_all()
    operation = await ended(catalogue, started.operation_id)
    assert (operation.state, operation.error) == (
        State.FAILED,
        "the feed has changed since the import began; import it again",
    )


async def test_a_feed_that_disappears_ends_the_import(catalogue: Catalogue, shop: Shop):
    feed = shop.simple(4)
    started = await catalogue.imports.start(feed_uri=feed)
    (shop.folder / "feed.csv").unlink()
    catalogue.imports.resume_all()
    operation = await ended(catalogue, started.operation_id)
    assert operation.state is State.FAILED
    assert "No such file" in operation.error


async def test_a_feed_without_rows_ends_the_import(catalogue: Catalogue, shop: Shop):
    operation = await imported(catalogue, shop.feed())
    assert operation.state is State.FAILED
    assert "has no rows" in operation.error


async def test_start_refuses_what_cannot_work(catalogue: Catalogue, shop: Shop):
    with pytest.raises(InvalidInputError, match="a column is missing: category") as caught:
        await catalogue.imports.start(feed_uri=shop.feed(header="product_id,title"))
    assert caught.value.field == "feed_uri"
    with pytest.raises(InvalidInputError, match="does not end in"):
        await catalogue.imports.start(feed_uri=shop.simple(1, name="feed.txt"))
    with pytest.raises(InvalidInputError, match="at most 200") as caught:
        await catalogue.imports.start(feed_uri=shop.simple(1), default_merchant="x" * 201)
    assert caught.value.field == "default_merchant"
    with pytest.raises(InvalidInputError, match="outside of the folders"):
        await catalogue.imports.start(feed_uri="/etc/passwd", format="csv")
    assert await catalogue.store.list_operations(after="", limit=10) == []


async def test_a_default_merchant_and_a_format(catalogue: Catalogue, shop: Shop):
    feed = shop.feed("g1,Boot,187,9 USD", header="id,title,google_product_category,price", name="feed.txt")
    operation = await imported(catalogue, feed, default_merchant="Shop", format="csv")
    assert (operation.state, operation.rows_failed) == (State.SUCCEEDED, 0)
    [offer] = await catalogue.store.list_offers(after="", limit=10)
    assert (offer.product_id, offer.merchant, offer.price) == ("g1", "Shop", 9)
    assert offer.update_time is not None
    assert offer.update_time <= datetime.now(UTC)


async def test_several_imports_are_worked_on_at_once_and_one_that_waits_does_not_hold_the_others(
    catalogue: Catalogue, peers: Peers, shop: Shop
):
    pictures = shop.simple(8, name="pictures.csv")
    facts = shop.feed("q1,Fact,toys,M,1 USD,", name="facts.csv")
    peers.embedder.switch.down = True
    first = await catalogue.imports.start(feed_uri=pictures)
    second = await catalogue.imports.start(feed_uri=facts)
    catalogue.imports.resume_all()
    assert (await ended(catalogue, second.operation_id)).state is State.SUCCEEDED
    assert (await catalogue.store.get_operation(first.operation_id)).state is State.RUNNING
    peers.embedder.switch.down = False
    assert (await ended(catalogue, first.operation_id)).state is State.SUCCEEDED

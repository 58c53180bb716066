"""Imports that are interrupted: outages, stopped and killed processes, lost leases, cancellation."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from services.catalog.import_settings import ImportSettings
from services.catalog.resources import State
from services.catalog.sql import tables
from shiwu.chassis.calls import Call, current_call
from tests.unit.catalog_import.assembly import Catalogue, assembled
from tests.unit.catalog_import.conftest import Shop
from tests.unit.catalog_import.importing import begun, consistent, ended, read_lines, until
from tests.unit.catalog_import.peers import Peers

ROOT = Path(__file__).parents[3]


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
    started = await begun(catalogue, shop.simple(16), rows=8)
    peers.search.records.clear()
    operation = await ended(catalogue, started.operation_id)
    assert operation.images_indexed == 16
    assert len(peers.search.records) == 16
    assert await consistent(catalogue, peers)


async def test_a_stopped_process_hands_its_import_over(
    catalogue: Catalogue, url: str, peers: Peers, settings: ImportSettings, shop: Shop
):
    peers.embedder.switch.seconds = 0.1
    started = await begun(catalogue, shop.simple(20), rows=4)
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
@pytest.mark.parametrize("lease_seconds", [1.5])
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


@pytest.mark.parametrize("lease_seconds", [1.5])
async def test_a_process_that_has_lost_its_lease_stops(
    catalogue: Catalogue, url: str, peers: Peers, settings, shop: Shop
):
    """As after a long pause of the process: by the time that it goes on, another one has the import."""
    peers.embedder.switch.seconds = 0.2
    started = await begun(catalogue, shop.simple(40), rows=4)
    until_then = datetime.now(UTC) + timedelta(seconds=3)
    async with catalogue.store._database.write("steal") as connection:
        await connection.execute(update(tables.operations).values(lease_owner="thief", lease_until=until_then))
    await asyncio.sleep(0.5)
    stolen = await catalogue.store.get_operation(started.operation_id)
    await asyncio.sleep(1.0)
    assert (await catalogue.store.get_operation(started.operation_id)).rows_done == stolen.rows_done
    operation = await ended(catalogue, started.operation_id)  # the thief's lease runs out, and the import goes on
    assert (operation.state, operation.products_written) == (State.SUCCEEDED, 40)


async def test_a_worker_whose_lease_has_run_out_gives_way_to_its_neighbour(
    catalogue: Catalogue, peers: Peers, shop: Shop
):
    """As after a pause of the whole process, when its other worker is the first to look for work."""
    peers.embedder.switch.seconds = 0.2
    started = await begun(catalogue, shop.simple(40), rows=4)
    async with catalogue.store._database.write("expire") as connection:
        await connection.execute(update(tables.operations).values(lease_until=datetime.now(UTC) - timedelta(seconds=1)))
    second = await catalogue.imports.start(feed_uri=shop.simple(1, name="second.csv"))  # the idle worker wakes
    assert (await ended(catalogue, started.operation_id)).state is State.SUCCEEDED
    assert (await ended(catalogue, second.operation_id)).state is State.SUCCEEDED
    async with asyncio.timeout(5):
        await catalogue.imports.close()
    # Only the batch in hand at the takeover may be embedded twice.
    assert 40 <= peers.embedder.switch.calls["Embed"] <= 40 + 4
    assert await consistent(catalogue, peers)


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
    started = await begun(catalogue, shop.simple(40), rows=4)
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

"""The ledger of imports."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.catalog.resources import Batch, Operation, Product, Progress, ReferenceImage, RowProblem, State
from shiwu.chassis.errors import AlreadyExistsError, NotFoundError, PreconditionError


@pytest.fixture
async def claimed(store):
    await store.create_operation(Operation("op", "feed.csv", "csv", "Shop"))
    assert await store.claim_operation("me", 60)
    return store


async def test_an_operation_is_kept(store):
    created = await store.create_operation(Operation("op", "feed.csv", "csv", "Shop"))
    assert await store.get_operation("op") == created
    assert (created.state, created.rows_done, created.lease_owner) == (State.RUNNING, 0, "")
    with pytest.raises(AlreadyExistsError):
        await store.create_operation(created)
    with pytest.raises(NotFoundError, match="import 'other' does not exist"):
        await store.get_operation("other")


async def test_nobody_begins_with_a_lease(store):
    await store.create_operation(Operation("op", "f", "csv", lease_owner="x", lease_until=datetime.now(UTC)))
    assert (await store.get_operation("op")).lease_owner == ""


async def test_the_oldest_is_claimed_first_and_each_once(store):
    assert await store.claim_operation("me", 60) is None
    for key in ("b", "a", "c"):
        await store.create_operation(Operation(key, "f", "csv"))
    assert [(await store.claim_operation("me", 60)).operation_id for _ in range(3)] == ["b", "a", "c"]
    assert await store.claim_operation("me", 60) is None
    assert await store.claim_operation("other", 60, "a") is None


async def test_one_operation_can_be_asked_for(store):
    for key in ("a", "b"):
        await store.create_operation(Operation(key, "f", "csv"))
    assert (await store.claim_operation("me", 60, "b")).operation_id == "b"
    assert await store.claim_operation("me", 60, "nobody") is None


async def test_processes_that_claim_at_the_same_time_share_the_work(open_store):
    stores = [open_store() for _ in range(4)]
    for number in range(8):
        await stores[0].create_operation(Operation(f"op{number}", "f", "csv"))
    claims = await asyncio.gather(*(stores[n % 4].claim_operation(f"owner{n}", 60) for n in range(12)))
    got = [claim.operation_id for claim in claims if claim]
    assert sorted(got) == sorted(set(got))
    while claim := await stores[0].claim_operation("late", 60):  # PostgreSQL: a locked row is skipped, not waited for
        got.append(claim.operation_id)
    assert sorted(got) == [f"op{n}" for n in range(8)]


async def test_a_lease_that_has_run_out_is_another_ones(claimed):
    assert await claimed.renew_lease("op", "me", 0.05) is not None
    await asyncio.sleep(0.1)
    taken = await claimed.claim_operation("other", 60)
    assert (taken.operation_id, taken.lease_owner) == ("op", "other")
    assert await claimed.renew_lease("op", "me", 60) is None
    with pytest.raises(PreconditionError, match="'op' is not held by 'me' any more"):
        await claimed.write(Batch(products=(Product("p", "t", "shoes"),)), Progress("op", "me", rows_done=1))
    assert await claimed.list_products(after="", limit=9) == []
    with pytest.raises(PreconditionError, match="'op' is not held by 'me' any more"):
        await claimed.finish_operation("op", "me", state=State.SUCCEEDED)
    await claimed.release_operation("op", "me")
    assert (await claimed.get_operation("op")).lease_owner == "other"


async def test_a_renewed_lease_holds(claimed):
    await claimed.renew_lease("op", "me", 0.05)
    assert (await claimed.renew_lease("op", "me", 60)).lease_until > datetime.now(UTC)
    await asyncio.sleep(0.1)
    assert await claimed.claim_operation("other", 60) is None


async def test_a_released_operation_is_free_at_once(claimed):
    await claimed.release_operation("op", "me")
    assert (await claimed.claim_operation("other", 60)).lease_owner == "other"


async def test_progress_is_written_with_the_rows(claimed):
    products = (Product("p1", "t", "shoes"), Product("p2", "t", "shoes"))
    problems = (
        RowProblem(3, "price", "is 'x'", '{"price": "x"}'),
        RowProblem(3, "url", "is bad"),
        RowProblem(2, "", "?"),
    )
    progress = Progress("op", "me", rows_total=10, rows_done=4, problems=problems, feed_sha256="f" * 64)
    await claimed.write(Batch(products=products), progress)
    now = await claimed.get_operation("op")
    assert (now.rows_total, now.rows_done, now.rows_failed, now.products_written) == (10, 4, 2, 2)
    assert now.feed_sha256 == "f" * 64
    # The same again, as after a crash: nothing counts twice, nothing else changes.
    await claimed.write(Batch(products=products), progress)
    await claimed.write(Batch(), Progress("op", "me"))
    again = await claimed.get_operation("op")
    assert replace(again, update_time=None) == replace(now, update_time=None)
    assert again.update_time > now.update_time
    assert await claimed.list_problems("op") == [problems[2], problems[0], problems[1]]
    assert await claimed.list_problems("op", after_row=2, limit=1) == [problems[0]]
    assert await claimed.list_problems("other") == []


async def test_indexed_images_count_once(claimed):
    await claimed.create_product(Product("p", "t", "shoes"))
    await claimed.write(Batch(images=tuple(ReferenceImage(key, "p", vector=b"1234") for key in "abc")))
    records = await claimed.index_records("abc")
    now = datetime.now(UTC)
    await claimed.mark_indexed(records[:2], now, operation_id="op")
    await claimed.mark_indexed(records, now, operation_id="op")
    assert (await claimed.get_operation("op")).images_indexed == 3


async def test_a_finished_operation_stays_as_it_is(claimed):
    end = datetime(2026, 2, 3, tzinfo=UTC)
    done = await claimed.finish_operation("op", "me", state=State.SUCCEEDED, errors_path="/x", index_time=end)
    assert (done.state, done.errors_path, done.index_time, done.lease_owner) == (State.SUCCEEDED, "/x", end, "")
    assert await claimed.get_operation("op") == done
    assert await claimed.claim_operation("me", 60) is None
    assert await claimed.cancel_operation("op") == done
    with pytest.raises(PreconditionError):
        await claimed.write(Batch(), Progress("op", "me", rows_done=9))
    with pytest.raises(PreconditionError):
        await claimed.finish_operation("op", "me", state=State.FAILED)


async def test_a_failure_says_why(claimed):
    await claimed.finish_operation("op", "me", state=State.FAILED, error="the feed has gone")
    assert (await claimed.get_operation("op")).error == "the feed has gone"


async def test_a_wish_to_cancel_reaches_the_worker(claimed):
    assert (await claimed.cancel_operation("op")).cancel_requested
    assert (await claimed.renew_lease("op", "me", 60)).cancel_requested
    with pytest.raises(NotFoundError):
        await claimed.cancel_operation("other")


async def test_only_finished_operations_are_forgotten_with_their_problems(claimed):
    await claimed.write(Batch(), Progress("op", "me", problems=(RowProblem(2, "", "?"),)))
    with pytest.raises(PreconditionError, match="'op' is running"):
        await claimed.delete_operation("op")
    await claimed.finish_operation("op", "me", state=State.CANCELLED)
    await claimed.delete_operation("op")
    assert await claimed.list_problems("op") == []
    for call in (claimed.delete_operation("op"), claimed.finish_operation("op", "me", state=State.FAILED)):
        with pytest.raises(NotFoundError):
            await call


async def test_operations_are_listed(claimed):
    await claimed.create_operation(Operation("a", "f", "csv"))
    await claimed.finish_operation("op", "me", state=State.SUCCEEDED)

    async def keys(**filters):
        return [each.operation_id for each in await claimed.list_operations(**({"after": "", "limit": 9} | filters))]

    assert await keys() == ["a", "op"]
    assert await keys(after="a") == ["op"]
    assert await keys(limit=1) == ["a"]
    assert await keys(running=True) == ["a"]
    assert await keys(running=False) == ["op"]

"""Gaps and feedback."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.catalog.coverage import Feedback, Gap, GapPlace, GapState, Replay, Verdict
from services.catalog.resources import Batch, Product

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def gap(key, minutes=0, category="shoes", **facts):
    return Gap(key, category, 0.25, NOON + timedelta(minutes=minutes), **facts)


async def everything(store, **filters):
    return await store.list_gaps(before=None, limit=99, **filters)


async def test_a_gap_is_kept_once(store):
    first = gap("g", crop=b"\xff\xd8", comment="what is it?", vector=b"1234", model="m@1")
    await store.record_gap(first)
    await store.record_gap(replace(first, category="bags"))
    assert await everything(store) == [replace(first, vector=b"", demand=1)]
    assert await everything(store, without=("crop", "demand")) == [replace(first, crop=b"")]


async def test_gaps_come_newest_first_and_in_pages(store):
    minutes = {"a": 3, "b": 1, "c": 3, "d": 2, "e": 3}
    for key, minute in minutes.items():
        await store.record_gap(gap(key, minute))
    assert [each.scan_id for each in await everything(store)] == ["e", "c", "a", "d", "b"]
    found, before = [], None
    while page := await store.list_gaps(before=before, limit=2):
        found += [each.scan_id for each in page]
        before = GapPlace.of(page[-1])
    assert found == ["e", "c", "a", "d", "b"]


async def test_gaps_are_filtered_by_category(store):
    await store.record_gap(gap("a"))
    await store.record_gap(gap("b", category="bags"))
    assert [each.scan_id for each in await everything(store, category="bags")] == ["b"]


async def test_a_gap_carries_the_last_word_said_of_it(store):
    await store.record_feedback(Feedback("g", Verdict.WRONG, "p", "not mine"))
    await store.record_gap(gap("g", comment="at first"))
    assert [each.comment for each in await everything(store)] == ["not mine"]
    await store.record_feedback(Feedback("g", Verdict.WRONG, "", "a teapot"))
    assert [each.comment for each in await everything(store)] == ["a teapot"]
    await store.record_feedback(Feedback("g", Verdict.RIGHT))
    assert [each.comment for each in await everything(store)] == ["at first"]


async def test_what_scans_left_behind_is_erased(store):
    now = datetime.now(UTC)
    await store.record_gap(replace(gap("old", crop=b"\xff\xd8"), scan_time=now - timedelta(days=31)))
    await store.record_gap(replace(gap("new"), scan_time=now - timedelta(days=29)))
    await store.record_feedback(Feedback("old", Verdict.WRONG, "", "my kitchen"))
    assert await store.erase_scans(before=now - timedelta(days=30)) == 1
    assert [each.scan_id for each in await everything(store)] == ["new"]
    assert await store.erase_scans(before=now + timedelta(minutes=1)) == 2
    assert await everything(store) == []
    await store.record_gap(gap("old"))
    assert [each.comment for each in await everything(store)] == [""]


async def stocked(store, *keys):
    await store.write(Batch(products=tuple(Product(key, key, "shoes") for key in keys)))


def found(product_id, run="r1", **facts):
    return Replay(run, product_id, True, 0.9, **facts)


def missed(product_id="", run="r1", confidence=0.3):
    return Replay(run, product_id, False, confidence)


async def states(store):
    return {each.scan_id: str(each.state) for each in await everything(store)}


async def test_a_gap_closes_by_what_its_replay_found(store):
    await stocked(store, "p")
    for key in "ab":
        await store.record_gap(gap(key))
    index_time = NOON + timedelta(hours=1)
    await store.record_replays("r1", {"a": found("p", model="m@2", index_time=index_time), "b": missed("p")})
    closed, opened = sorted(await everything(store), key=lambda each: each.scan_id)
    assert (closed.state, opened.state) == (GapState.CLOSED, GapState.OPEN)
    told = closed.replay
    assert (told.replay_id, told.product_id, told.model, told.index_time) == ("r1", "p", "m@2", index_time)
    assert told.confidence == 0.9
    assert abs((told.replay_time - datetime.now(UTC)).total_seconds()) < 60
    assert (opened.replay.product_id, opened.replay.found) == ("p", False)
    for state, key in ((GapState.CLOSED, "a"), (GapState.OPEN, "b")):
        assert [each.scan_id for each in await everything(store, state=state)] == [key]


async def test_what_closed_a_gap_stays_while_it_is_found_again_and_goes_when_it_is_not(store):
    await stocked(store, "p", "q")
    await store.record_gap(gap("a"))
    await store.record_replays("r1", {"a": found("p")})
    [first] = await everything(store)
    await store.record_replays("r2", {"a": found("q", run="r2")})
    [again] = await everything(store)
    assert again.replay == replace(first.replay, replay_id="r2")
    await store.record_replays("r3", {"a": missed("q", run="r3")})
    [reopened] = await everything(store)
    assert (reopened.state, reopened.replay.replay_id) == (GapState.OPEN, "r3")


async def test_a_gap_opens_again_when_the_product_that_closed_it_is_deleted(store):
    await stocked(store, "p")
    await store.record_gap(gap("a"))
    await store.record_replays("r1", {"a": found("p")})
    assert await store.delete_product("p", [])
    assert await states(store) == {"a": "open"}
    await store.record_replays("r2", {"a": found("p", run="r2")})
    assert await states(store) == {"a": "open"}, "by a product that is gone nothing closes"


async def test_gaps_that_were_erased_meanwhile_are_left_out(store):
    await store.record_replays("r1", {"gone": missed()})
    await store.cluster_gaps({"gone": "c"})
    assert await everything(store) == []
    assert await store.list_coverage(before=None, limit=9) == []


async def test_replays_are_erased_with_their_gaps_and_counts_stay(store):
    await stocked(store, "p")
    await store.record_gap(gap("a"))
    await store.record_replays("r1", {"a": found("p")})
    await store.erase_scans(before=datetime.now(UTC))
    await store.record_gap(gap("a"))
    assert await states(store) == {"a": "open"}
    [row] = await store.list_coverage(before=None, limit=9)
    assert (row.found, row.replayed) == (1, 1)


async def test_demand_counts_the_open_gaps_of_a_cluster(store):
    await stocked(store, "p")
    clusters = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "b3": "b", "lone": ""}
    for minute, key in enumerate(clusters):
        await store.record_gap(gap(key, minute))
    assert {each.demand for each in await everything(store)} == {1}, "each is a cluster of its own at first"
    await store.cluster_gaps(clusters)
    await store.record_replays("r1", {"a1": found("p"), "a2": found("p")})
    await store.record_feedback(Feedback("b1", Verdict.WRONG))
    await store.record_feedback(Feedback("b2", Verdict.RIGHT))
    assert {each.scan_id: each.demand for each in await everything(store)} == {
        "a1": 1, "a2": 1, "a3": 1, "b1": 2, "b2": 2, "b3": 2, "lone": 1,
    }  # fmt: skip
    for cluster_id, keys in (("b", ["b3", "b2", "b1"]), ("lone", ["lone"])):
        assert [each.scan_id for each in await everything(store, cluster_id=cluster_id)] == keys
    await store.cluster_gaps({"b1": ""})
    listed = {each.scan_id: (each.cluster_id, each.demand) for each in await everything(store)}
    assert (listed["b1"], listed["b3"]) == (("", 1), ("b", 1))


async def test_gaps_by_demand_come_cluster_by_cluster_and_in_pages(store):
    clusters = {"a1": "a", "b1": "b", "x": "", "b2": "b", "c1": "c", "a2": "a", "b3": "b", "c2": "c"}
    for minute, key in enumerate(clusters):
        await store.record_gap(gap(key, minute, crop=b"jpeg"))
    await store.cluster_gaps(clusters)
    expected = ["b3", "b2", "b1", "c2", "c1", "a2", "a1", "x"]
    ranked = await everything(store, by_demand=True, without=("crop", "vector", "demand"))
    assert [each.scan_id for each in ranked] == expected
    keys, before = [], None
    while page := await store.list_gaps(before=before, limit=3, by_demand=True):
        keys += [each.scan_id for each in page]
        before = GapPlace.of(page[-1])
    assert keys == expected


async def test_a_run_counts_what_it_leaves_by_category(store):
    await stocked(store, "p")
    for key, category in (("s1", "shoes"), ("s2", "shoes"), ("s3", "shoes"), ("b1", "bags")):
        await store.record_gap(gap(key, category=category, crop=b"" if key == "s3" else b"jpeg"))

    async def counted(**filters):
        rows = await store.list_coverage(before=None, limit=9, **filters)
        return [
            (row.replay_id, row.category, row.gaps, row.without_crop, row.replayed, row.found, row.closed)
            for row in rows
        ]

    await store.record_replays("r1", {"s1": found("p")})
    await store.record_replays("r1", {"s2": missed(), "b1": missed()})
    first = [("r1", "shoes", 3, 1, 2, 1, 1), ("r1", "bags", 1, 0, 1, 0, 0)]
    assert await counted() == first
    await store.record_replays("r1", {"s2": missed(), "b1": missed()})
    assert await counted() == first, "repeating counts nothing twice"
    await store.record_replays("r2", {"s2": found("p", run="r2")})
    assert await counted() == [("r2", "shoes", 3, 1, 2, 2, 1), ("r2", "bags", 1, 0, 1, 0, 0), *first]
    await store.record_replays("r3", {})
    assert await counted(category="bags") == [(run, "bags", 1, 0, 1, 0, 0) for run in ("r3", "r2", "r1")]
    found_rows, before = [], None
    while page := await store.list_coverage(before=before, limit=1):
        found_rows += page
        before = (page[0].update_time, page[0].replay_id, page[0].category)
    assert [(row.replay_id, row.category) for row in found_rows] == [
        (run, category) for run in ("r3", "r2", "r1") for category in ("shoes", "bags")
    ]

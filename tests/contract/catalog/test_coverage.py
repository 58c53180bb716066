"""Gaps and feedback."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.catalog.resources import Feedback, Gap, Verdict

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def gap(key, minutes=0, category="shoes", **facts):
    return Gap(key, category, 0.25, NOON + timedelta(minutes=minutes), **facts)


async def everything(store, **filters):
    return await store.list_gaps(before=None, limit=99, **filters)


async def test_a_gap_is_kept_once(store):
    first = gap("g", crop=b"\xff\xd8", comment="what is it?", vector=b"1234", model="m@1")
    await store.record_gap(first)
    await store.record_gap(replace(first, category="bags"))
    assert await everything(store) == [replace(first, vector=b"")]


async def test_gaps_come_newest_first_and_in_pages(store):
    minutes = {"a": 3, "b": 1, "c": 3, "d": 2, "e": 3}
    for key, minute in minutes.items():
        await store.record_gap(gap(key, minute))
    assert [each.scan_id for each in await everything(store)] == ["e", "c", "a", "d", "b"]
    found, before = [], None
    while page := await store.list_gaps(before=before, limit=2):
        found += [each.scan_id for each in page]
        before = (page[-1].scan_time, page[-1].scan_id)
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

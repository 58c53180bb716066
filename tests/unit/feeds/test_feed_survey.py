"""The two passes over a feed: counting, repeated keys, batches from any row on."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.feed_batches import batches, image_ids
from services.catalog.feed_lines import FeedError
from services.catalog.feed_survey import Repeats, survey
from services.catalog.feeds import Feed, RowKeys
from services.catalog.resources import RowProblem
from shiwu.wire.ids import image_id

FEED = Feed("csv")


def write(path: Path, *rows: str, header: str = "product_id,title,category,merchant,price,offer_id,images") -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def problems(path: Path, *, done: int = 0, size: int = 2) -> dict[int, tuple[str, str]]:
    found = survey(path, FEED)
    rows = list(batches(path, FEED, found, done=done, size=size))
    assert sum(len(each.entries) + len(each.problems) for each in rows) == found.rows - done
    return {problem.row: (problem.field, problem.problem) for each in rows for problem in each.problems}


def test_the_same_product_of_another_merchant_is_another_offer(tmp_path: Path):
    path = write(
        tmp_path / "f.csv",
        "p1,A,toys,M1,1 USD,,",
        "p2,B,toys,M1,1 USD,,",
        "p1,A,toys,M2,2 USD,,",
        "p1,A,toys,M1,3 USD,,",
        "p3,C,toys,M1,1 USD,o1,",
        "p4,D,toys,M1,1 USD,o1,",
    )
    assert problems(path) == {
        5: ("product_id", "the same product of the same merchant stands in line 2 already"),
        7: ("offer_id", "stands in line 6 already; expected each offer once"),
    }


def test_a_resumed_import_judges_repeated_rows_as_the_first_run_would_have(tmp_path: Path):
    path = write(tmp_path / "f.csv", *(f"p{n % 7},T,toys,M{n % 3},1 USD,," for n in range(60)))
    everything = problems(path)
    assert everything
    for done in range(60):
        assert problems(path, done=done) == {line: each for line, each in everything.items() if line - 1 > done}


def test_a_bad_row_does_not_stand_in_the_way_of_a_good_one(tmp_path: Path):
    path = write(tmp_path / "f.csv", "p1,A,toys,M1,cheap,,", "p1,A,toys,M1,1 USD,,")
    assert list(problems(path)) == [2]


def test_a_feed_without_rows(tmp_path: Path):
    with pytest.raises(FeedError, match="has no rows"):
        survey(write(tmp_path / "f.csv"), FEED)


def test_image_ids_of_a_feed(tmp_path: Path):
    path = write(tmp_path / "f.csv", "p1,A,toys,,,,a.jpg|b.jpg", "p2,B,cars,,,,c.jpg", "p3,C,toys,,,,d.jpg")
    expected = [image_id("p1", "a.jpg"), image_id("p1", "b.jpg"), image_id("p3", "d.jpg")]
    assert sorted(each for ids in image_ids(path, FEED, size=2) for each in ids) == sorted(expected)


@given(st.lists(st.integers(0, 12), max_size=40))
def test_repeats_are_those_that_a_dictionary_finds(numbers: list[int]):
    from array import array

    from services.catalog.feed_survey import _repeated, key_hash

    keys = [RowKeys(f"product {n}", "style ", f"merchant {n}", "") for n in numbers]
    repeats = Repeats(_repeated(array("Q", [key_hash(key.product) for key in keys])))
    first: dict[int, int] = {}
    for line, (number, key) in enumerate(zip(numbers, keys, strict=True), start=2):
        assert repeats.seen(key, line).product == first.get(number, 0)
        first.setdefault(number, line)


def test_memory_does_not_grow_with_the_feed(tmp_path: Path):
    path = tmp_path / "big.jsonl"
    filler = "x" * 2000
    with path.open("w") as file:
        for number in range(6_000):
            file.write(f'{{"product_id": "p{number}", "title": "T", "category": "toys", "description": "{filler}"}}\n')
    feed = Feed("jsonl")
    tracemalloc.start()
    found = survey(path, feed)
    rows = sum(len(each.entries) for each in batches(path, feed, found, done=0, size=32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == found.rows == 6_000
    assert path.stat().st_size > 12_000_000
    assert peak < 4_000_000


def test_problems_are_text_that_every_database_stores(tmp_path: Path):
    path = tmp_path / "f.jsonl"
    path.write_bytes(
        b'{"product_id": "p", "title": "\\ud800\\u0000", "category": "toys"}\n'
        b'{"product_id": "p", "ti\\u0000tle": "x\\u0000", "category": "toys"}\n'
        b"\x00\xff not json\n"
    )
    feed = Feed("jsonl")
    [rows] = batches(path, feed, survey(path, feed), done=0, size=10)
    assert len(rows.problems) == 3
    for problem in rows.problems:
        assert isinstance(problem, RowProblem)
        for text in (problem.field, problem.problem, problem.content):
            assert "\0" not in text
            text.encode()

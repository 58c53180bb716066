"""Files of feeds: encodings, broken lines, and what files that cannot be used are told."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.feed_reading import FeedError, FeedFormat
from services.catalog.feeds import Feed, FeedRow
from services.catalog.resources import RowProblem
from tests.unit.feeds.reading import read


def check(data: str | bytes, feed_format: FeedFormat = "csv", merchant: str = "") -> str:
    with pytest.raises(FeedError) as caught:
        Feed(feed_format, merchant).check(io.BytesIO(data.encode() if isinstance(data, str) else data))
    return str(caught.value)


def test_bad_rows_leave_the_good_ones_and_keep_the_lines():
    rows = read(
        b"product_id,title,category\n"
        b"p1,One,toys\n"
        b"p2,Caf\xe9,toys\n"  # Latin-1
        b"\n"
        b"p3,Three\n"  # ragged
        b'p4,"Two\nlines",toys\n'
        b"p5,Five,toys,extra\n"
        b'p6,"stray" quote,toys\n'
        b"p7,Seven,toys\n"
    )
    good = [(row.record.line, row.product.product_id) for row in rows if isinstance(row, FeedRow)]
    assert good == [(2, "p1"), (6, "p4"), (10, "p7")]
    problems = {row.row: row.problem for row in rows if isinstance(row, RowProblem)}
    assert "line 3 is not UTF-8: byte 0xe9 at offset 44" in problems[3]
    assert "has 2 cells; the header has 3" in problems[5]
    assert "has 4 cells; the header has 3" in problems[8]
    assert "stray quote" in problems[9]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_encodings(encoding: str, ending: str):
    text = f"product_id,title,category{ending}p1,Stövel 靴,shoes{ending}p2,Boot,shoes"
    name = encoding.removesuffix("-bom")
    data = ("\ufeff" + text if encoding.endswith("-bom") else text).encode(name)
    rows = read(data)
    assert [row.product.title for row in rows if isinstance(row, FeedRow)] == ["Stövel 靴", "Boot"]


def test_broken_utf_16_ends_the_feed():
    with pytest.raises(FeedError, match="not UTF-16"):
        read("\ufeffproduct_id,title,category\np1,A,toys\n".encode("utf-16-le") + b"\x00\xd8\x41\x00")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the feed is empty"),
        (b"\n\n", "the feed is empty"),
        (b"\xef\xbb\xbf", "the feed is empty"),
        (b"product_id,title\np1,x", "a column is missing: category"),
        (b"sku,name\n1,x", "columns are missing: product_id, title, category"),
        (b"sku;name\n1;x", "found: sku;name"),
        (b"id,title,link\n", "missing: google_product_category"),
        (b"product_id,title,category,title\n", "more than once: title"),
        (b"product_id,t\xefe,category\n", "not UTF-8: byte 0xef at offset 12"),
        (b"product_id,title,category\rp1,A,toys\r", "end the lines with LF"),
        (b"product_id,title,category,price\np,t,toys,1 USD", "no column merchant"),
        ("product_id".encode("utf-32"), "UTF-32"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
        (b"x" * 2_000_000, "longer than 1,048,576"),
    ],
)
def test_a_feed_that_cannot_be_used_says_why(data: bytes, message: str):
    assert message in check(data)


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        ("[]", "", "is a JSON array; expected an object"),
        ("{", "", "is not JSON"),
        ("[" * 100_000, "", "is not JSON"),
        ('{"product_id": "p", "title": "t"}', "category", "is missing or empty; "),
        ('{"product_id": {"a": 1}, "title": "t", "category": "toys"}', "product_id", "is a JSON object"),
        ('{"product_id": ["a"], "title": "t", "category": "toys"}', "product_id", "is a list"),
        ('{"product_id": "p", "title": "\\ud800", "category": "toys"}', "title", "surrogate"),
        ('{"product_id": "p", "title": "\\u0000", "category": "toys"}', "title", "NUL"),
        ('{"product_id": "p", "title": "t", "category": "toys", "images": [[1]]}', "images", "is a JSON array"),
        (
            '{"product_id": "p", "title": "t", "category": "toys", "price": NaN, "merchant": "m"}',
            "price",
            "not a price",
        ),
        (
            '{"product_id": "p", "title": "t", "category": "toys", "price": 1e999999, "merchant": "m"}',
            "price",
            "not a price",
        ),
        ("x" * 2_000_000, "", "longer than"),
    ],
)
def test_bad_json_lines(line: str, field: str, problem: str):
    good = '{"product_id": "p9", "title": "t", "category": "toys"}'
    first, second = read(f"{line}\n{good}\n", "jsonl")
    assert isinstance(first, RowProblem)
    assert (first.row, first.field) == (1, field)
    assert problem in first.problem
    assert isinstance(second, FeedRow)
    assert second.record.line == 2


def test_a_quote_that_never_ends_costs_only_what_it_swallows():
    filler = "".join(f"p{n},Title,toys\n" for n in range(2, 20_000))
    rows = read(f'product_id,title,category\np1,"open,toys\n{filler}')
    problems = [row for row in rows if isinstance(row, RowProblem)]
    good = [row for row in rows if isinstance(row, FeedRow)]
    assert problems[0].row == 2
    assert "were not read (is there a stray quote?)" in problems[0].problem
    assert len(good) > 10_000
    assert good[-1].product.product_id == "p19999"


@given(st.binary(max_size=400), st.sampled_from(["csv", "tsv", "jsonl"]))
def test_no_bytes_crash_the_reader(data: bytes, feed_format: FeedFormat):
    prefix = (
        b""
        if feed_format == "jsonl"
        else b"product_id,title,category\n".replace(b",", b"\t" if feed_format == "tsv" else b",")
    )
    try:
        rows = read(prefix + data, feed_format)
    except FeedError:
        assert (prefix + data).startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))  # said to be UTF-16 or -32
        return
    for row in rows:
        assert isinstance(row, FeedRow | RowProblem)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_what_python_writes_as_csv_is_read_back(titles: list[str]):
    import csv

    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["product_id", "title", "category"])
    for number, title in enumerate(titles):
        writer.writerow([f"p{number}", title, "toys"])
    if any("\ud800" <= character <= "\udfff" for character in buffer.getvalue()):
        return
    for title, row in zip(titles, read(buffer.getvalue().encode()), strict=True):
        if isinstance(row, FeedRow):
            assert row.product.title == title.strip()
        else:
            assert not title.strip() or "\0" in title

"""Google's feed as XML: the same rows as the equal table, and what bad files are told."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.feed_batches import batches
from services.catalog.feed_lines import FeedError
from services.catalog.feed_survey import survey
from services.catalog.feeds import Feed, FeedRow
from services.catalog.resources import RowProblem

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PLAIN = ("title", "link", "description")
Columns = dict[str, str]


def rss(*items: str) -> str:
    body = "".join(f"<item>\n{item}</item>\n" for item in items)
    return (
        f'<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>S</title>\n{body}</channel></rss>'
    )


def rss_item(columns: Columns) -> str:
    return "".join(
        f"<{name if name in PLAIN else f'g:{name}'}>{escape(text)}</{name if name in PLAIN else f'g:{name}'}>\n"
        for name, text in elements(columns)
    )


def atom(*entries: str) -> str:
    body = "".join(f"<entry>\n{entry}</entry>\n" for entry in entries)
    return (
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">'
        f"<title>S</title>\n{body}</feed>"
    )


def atom_entry(columns: Columns) -> str:
    def element(name: str, text: str) -> str:
        if name == "link":
            return f'<link rel="self" href="https://s.example/other"/>\n<link href={quoteattr(text)}/>\n'
        tag = {"title": "title", "description": "summary"}.get(name, f"g:{name}")
        return f"<{tag}>{escape(text)}</{tag}>\n"

    return "<id>tag:s.example,2026:1</id>\n" + "".join(element(*each) for each in elements(columns))


def elements(columns: Columns) -> list[tuple[str, str]]:
    return [
        (name, part)
        for name, text in columns.items()
        for part in (text.split(",") if name == "additional_image_link" else [text])
    ]


def table(rows: Sequence[Columns]) -> str:
    names = sorted({name for row in rows for name in row})
    file = io.StringIO()
    writer = csv.DictWriter(file, names, restval="", delimiter="\t")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def read(text: str | bytes, feed_format: str) -> list[FeedRow | RowProblem]:
    feed = Feed(feed_format, "Shop")  # type: ignore[arg-type]
    data = text.encode() if isinstance(text, str) else text
    feed.check(io.BytesIO(data))
    return list(feed.rows(io.BytesIO(data), NOW))


def understood(rows: Sequence[FeedRow | RowProblem]) -> list[object]:
    """The rows without where they stood."""
    return [
        (row.field, row.problem)
        if isinstance(row, RowProblem)
        else (row.product, row.style, row.offer, row.images, row.image_field)
        for row in rows
    ]


def refused(text: str | bytes) -> str:
    with pytest.raises(FeedError) as caught:
        read(text, "xml")
    return str(caught.value)


TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Z"), exclude_characters="\ufeff\ufffe\uffff"), max_size=8)
WORDS = st.lists(TEXT, min_size=1, max_size=3).map(" ".join)
ROW = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b/2", "ü", "x y"]),
        "title": WORDS,
        "google_product_category": st.sampled_from(["187", "Media > Books", "?"]),
    },
    optional={
        "description": WORDS,
        "link": st.sampled_from(["https://s.example/a?b=1&c=2", "ftp://s.example"]),
        "image_link": st.sampled_from(["https://s.example/1.jpg", "https://s.example/ü.jpg", "2.jpg"]),
        "additional_image_link": st.lists(
            st.sampled_from(["https://s.example/1.jpg", "3.jpg", "a/4.jpg"]), min_size=1, max_size=3
        ).map(",".join),
        "availability": st.sampled_from(["in stock", "out_of_stock", "maybe"]),
        "price": st.sampled_from(["12.99 USD", "1,299 EUR", "5", "-3 USD"]),
        "sale_price": st.just("9 USD"),
        "brand": WORDS,
        "gtin": st.sampled_from(["12345678", "1"]),
        "item_group_id": st.just("group"),
        "merchant": st.just("Other"),
    },
)


@given(st.lists(ROW, min_size=1, max_size=4))
def test_rss_and_atom_are_read_as_the_equal_table_is(rows: list[Columns]):
    expected = understood(read(table(rows), "tsv"))
    assert understood(read(rss(*map(rss_item, rows)), "xml")) == expected
    assert understood(read(atom(*map(atom_entry, rows)), "xml")) == expected


def test_googles_elements_count_before_plain_ones_and_foreign_ones_do_not_count():
    [row] = read(
        rss(
            '<title>Plain</title><g:title>Google\'s</g:title><g:id>1</g:id><m:id xmlns:m="urn:m">2</m:id>'
            "<g:product_type>Toys</g:product_type><g:product_type>Other</g:product_type>"
            "<g:shipping><g:country>DE</g:country><g:price>4 EUR</g:price></g:shipping>"
            "<description><![CDATA[<b>bold</b> & more]]></description><g:price>9 EUR</g:price>"
        ),
        "xml",
    )
    assert isinstance(row, FeedRow)
    assert (row.product.product_id, row.product.title, row.product.category) == ("1", "Google's", "toys")
    assert row.product.description == "<b>bold</b> & more"
    assert row.offer is not None
    assert (row.offer.price, row.offer.currency) == (9, "EUR")


def test_an_element_that_stands_there_twice_is_a_bad_row():
    [row] = read(rss("<g:id>1</g:id><title>A</title><title>B</title><g:product_type>Toys</g:product_type>"), "xml")
    assert isinstance(row, RowProblem)
    assert (row.row, row.field) == (2, "title")
    assert "more than once" in row.problem


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_encodings(encoding: str):
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + rss(
        rss_item({"id": "1", "title": "Café", "product_type": "Food"})
    )
    [row] = read(text.encode(encoding), "xml")
    assert isinstance(row, FeedRow)
    assert row.product.title == "Café"


BOMB = '<!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>\n' + rss("<title>&b;</title>")
FOREIGN = '<?xml version="1.0"?>\n<!DOCTYPE rss [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + rss("<title>&f;</title>")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not well-formed XML: no element found: line 1, column 0"),
        ("id,title\n1,A\n", "is not well-formed XML: syntax error: line 1, column 0"),
        (rss("<title>A</titel>"), "is not well-formed XML: mismatched tag: line 3, column 10"),
        (rss("<title>A & B</title>"), "is not well-formed XML: not well-formed (invalid token): line 3"),
        (rss("<title>A&nbsp;B</title>"), "undefined entity: line 3"),
        (rss("<title>A</title>").removesuffix("</rss>"), "no element found: line 4"),
        (rss("<title>\xff</title>").encode("latin-1"), "invalid token): line 3, column 7"),
        ("<rss><channel><item><g:id>1</g:id></item></channel></rss>", 'should say xmlns:g="http://base.google.com'),
        ("<html><body/></html>", "the root element is <html>; expected RSS's <rss>, or <feed> of http"),
        ("<feed><entry/></feed>", "the root element is <feed>; expected RSS's"),
        (BOMB, "has a document type declaration, in line 1"),
        (FOREIGN, "has a document type declaration, in line 2"),
        ('<?xml version="1.0" encoding="gbk"?><rss/>', "expected UTF-8, UTF-16 or an encoding with a byte for each"),
        ('<?xml version="1.0" encoding="what"?><rss/>', "the feed is not well-formed XML: unknown encoding"),
        (rss("<a>" * 200 + "</a>" * 200), "more than 100 deep in line 3"),
        (rss(f"<!-- {'x' * 3_000_000} -->"), "a tag or comment near line 3 is longer than 1,048,576 bytes"),
        (rss(f'<title a="{"x" * 3_000_000}"/>'), "a tag or comment near line 3 is longer than 1,048,576 bytes"),
    ],
)
def test_bad_files(text: str | bytes, problem: str):
    assert problem in refused(text)


WHOLE = rss(rss_item({"id": "1", "title": "A", "product_type": "Toys", "price": "1 EUR"})).encode()


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, len(WHOLE) - 1), st.binary(max_size=3))
def test_a_damaged_file_gives_rows_or_one_clear_error(start: int, end: int, put: bytes):
    try:
        rows = read(WHOLE[: min(start, end)] + put + WHOLE[max(start, end) :], "xml")
    except FeedError:
        return
    assert len(rows) <= 1


def test_a_bad_item_is_reported_with_its_line_and_the_others_are_kept():
    rows = read(
        rss(
            rss_item({"id": "1", "title": "A", "product_type": "Toys"}),
            rss_item({"id": "2", "title": "x" * 2_000_000, "product_type": "Toys"}),
            rss_item({"id": "3", "title": "C"}),
            rss_item({"id": "4", "title": "D", "product_type": "Toys"}),
        ),
        "xml",
    )
    assert [row.row if isinstance(row, RowProblem) else row.record.line for row in rows] == [2, 7, 12, 16]
    problems = {row.row: row.problem for row in rows if isinstance(row, RowProblem)}
    assert problems[7] == "the item is longer than 1,048,576 characters"
    assert problems[12].startswith("is missing or empty; expected at least")


def test_a_resumed_import_goes_on_in_the_middle(tmp_path: Path):
    path = tmp_path / "feed.xml"
    path.write_text(rss(*(rss_item({"id": str(n), "title": "T", "product_type": "Toys"}) for n in range(10))))
    feed = Feed("xml")
    rest = [
        entry.product_id for rows in batches(path, feed, survey(path, feed), done=7, size=2) for entry in rows.entries
    ]
    assert rest == ["7", "8", "9"]


def test_a_feed_without_items(tmp_path: Path):
    path = tmp_path / "feed.xml"
    path.write_text(rss())
    with pytest.raises(FeedError, match="has no rows"):
        survey(path, Feed("xml"))


def test_memory_does_not_grow_with_the_feed(tmp_path: Path):
    path = tmp_path / "big.xml"
    item = rss_item({"id": "{}", "title": "T", "product_type": "Toys", "description": "x" * 2000})
    path.write_text(rss(*(item.replace("{}", str(number)) for number in range(6_000))))
    feed = Feed("xml")
    tracemalloc.start()
    found = survey(path, feed)
    rows = sum(len(each.entries) for each in batches(path, feed, found, done=0, size=32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == found.rows == 6_000
    assert path.stat().st_size > 12_000_000
    assert peak < 4_000_000

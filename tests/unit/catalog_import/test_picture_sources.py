"""Where feeds and their pictures may lie."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.catalog.feed_lines import FeedError
from services.catalog.picture_sources import PictureError, PictureSource, format_of, locate_feed
from shiwu.wire.fetching import Fetcher, FetchSettings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "shop" / "pictures").mkdir(parents=True)
    (root / "shop" / "feed.csv").write_text("x")
    (root / "shop" / "a b.jpg").write_bytes(b"picture")
    (root / "shop" / "pictures" / "b.jpg").write_bytes(b"other")
    (root / "neighbour.jpg").write_bytes(b"neighbour")
    (tmp_path / "secret.csv").write_text("secret")
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root-2" / "feed.csv").write_text("x")
    (root / "link.csv").symlink_to(tmp_path / "secret.csv")
    (root / "shop" / "link.jpg").symlink_to(tmp_path / "secret.csv")
    (root / "shop" / "near.jpg").symlink_to(root / "neighbour.jpg")
    (root / "shop" / "loop.jpg").symlink_to(root / "shop" / "loop.jpg")
    os.mkfifo(root / "shop" / "fifo.jpg")
    return root


@pytest.fixture
async def source(root: Path) -> AsyncIterator[PictureSource]:
    async with Fetcher(FetchSettings(attempts=1)) as fetcher:
        yield PictureSource(root / "shop", [root], fetcher, max_bytes=100)


def test_paths_and_uris(root: Path):
    feed = root / "shop" / "feed.csv"
    for uri in (str(feed), feed.as_uri(), f"file://localhost{feed}", f"{root}/shop/../shop/./feed.csv"):
        assert locate_feed(uri, [root]) == feed.resolve()
    spaced = root / "a b#?.csv"
    spaced.write_text("x")
    assert locate_feed(spaced.as_uri(), [root]) == spaced.resolve()


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("{root}/../secret.csv", "outside of the folders"),
        ("file://{root}/%2e%2e/secret.csv", "outside of the folders"),
        ("{root}/link.csv", "outside of the folders"),
        ("{root}-2/feed.csv", "outside of the folders"),
        ("/etc/passwd", "outside of the folders"),
        ("/no/such/file", "outside of the folders"),
        ("{root}/missing.csv", "No such file"),
        ("{root}/shop", "is not a file"),
        ("{root}/shop/fifo.jpg", "is not a file"),
        ("shop/feed.csv", "is not absolute"),
        ("", "is not absolute"),
        ("https://shop.example/feed.csv", "is not on this server"),
        ("file://other.example/feed.csv", "names another host"),
        ("{root}/a\0b", "NUL"),
        ("file://{root}/a%00b", "NUL"),
        ("{root}/" + "x" * 5000, "File name too long"),
    ],
)
def test_a_feed_elsewhere_is_refused(root: Path, uri: str, problem: str):
    with pytest.raises(FeedError, match=problem) as caught:
        locate_feed(uri.replace("{root}", str(root)), [root])
    assert caught.value.field == "feed_uri"


def test_without_folders_nothing_is_imported(root: Path):
    with pytest.raises(FeedError, match="CATALOG_IMPORTS__ROOTS"):
        locate_feed(str(root / "shop" / "feed.csv"), [])


def test_formats():
    assert [format_of(Path(name)) for name in ("a.csv", "A.TSV", "b.jsonl", "c.xml")] == ["csv", "tsv", "jsonl", "xml"]
    with pytest.raises(FeedError, match=r"'feed\.json' does not end in \.csv, \.tsv, \.jsonl, \.xml"):
        format_of(Path("feed.json"))


async def test_pictures_beside_the_feed(source: PictureSource):
    assert await source.read("a b.jpg") == b"picture"
    assert await source.read("./pictures/b.jpg") == b"other"
    assert await source.read("near.jpg") == b"neighbour"  # a link, but within the folders to import from


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("../neighbour.jpg", "leads out of the feed's folder"),
        ("pictures/../../neighbour.jpg", "leads out of the feed's folder"),
        ("/etc/passwd", "leads out of the feed's folder"),
        ("link.jpg", "is a link that leads out"),
        ("loop.jpg", "cannot be read"),
        ("missing.jpg", "cannot be read: No such file"),
        ("pictures", "is not a file"),
        ("fifo.jpg", "is not a file"),
        ("x" * 1000, "cannot be read: File name too long"),
        ("http://127.0.0.1:1/a.jpg", "is not a public address"),
    ],
)
async def test_other_pictures_are_refused(source: PictureSource, address: str, problem: str):
    with pytest.raises(PictureError, match=problem):
        await source.read(address)


async def test_a_large_picture(source: PictureSource, root: Path):
    (root / "shop" / "large.jpg").write_bytes(b"x" * 101)
    with pytest.raises(PictureError, match="larger than 100 bytes"):
        await source.read("large.jpg")

"""Lists of pictures, from wherever they lie."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline.jobs.job import JobInputError
from offline.pictures.files import PictureFiles, UnreadableError
from offline.pictures.sources import by_product, partitions, rows
from shiwu.wire.fetching import FetchSettings

FILES = {"shoes/1.jpg": b"one", "shoes/2.PNG": b"two", "3.webp": b"three", "shoes/readme.txt": b"", ".hidden.jpg": b""}


def listed(source, size=1000):
    return [row for part in partitions(source, size) for row in rows(part)]


def folder(path):
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zipped(path):
    with zipfile.ZipFile(path / "shop.zip", "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return path / "shop.zip"


def tarred(path):
    with tarfile.open(path / "shop.tar.gz", "w:gz") as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path / "shop.tar.gz"


@pytest.mark.parametrize("make", [folder, zipped, tarred])
def test_folders_and_archives_hold_pictures_by_product(tmp_path, make):
    found = listed(make(tmp_path))
    assert [(row.image_id, row.product_id) for row in found] == [
        ("3.webp", ""),
        ("shoes/1.jpg", "shoes"),
        ("shoes/2.PNG", "shoes"),
    ]
    with PictureFiles(FetchSettings()) as files:
        assert [files.read(row.uri) for row in found] == [b"three", b"one", b"two"]


def test_lists_say_what_is_known(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"a")
    given = [
        {"uri": "a.jpg", "image_id": "Bild-1", "product_id": "靴子", "category": "shoes", "date": "2026-11-28"},
        {"uri": "https://shop.example/b.jpg", "more": 3},
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, given)) + "\n\n", encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(given), tmp_path / "list.parquet")
    for name in ("list.jsonl", "list.parquet"):
        first, second = listed(tmp_path / name)
        assert (first.image_id, first.uri, first.product_id) == ("Bild-1", str(tmp_path / "a.jpg"), "靴子")
        assert first.date == "2026-11-28T00:00:00"
        assert (second.image_id, second.uri) == ("https://shop.example/b.jpg",) * 2
    (tmp_path / "list.txt").write_text("https://shop.example/b.jpg\n\na.jpg\n")
    assert [row.image_id for row in listed(tmp_path / "list.txt")] == ["https://shop.example/b.jpg", "a.jpg"]


def test_partitions_have_their_size_and_whole_products_where_asked(tmp_path):
    given = [{"uri": f"{i}.jpg", "product_id": f"p{i % 3}" if i else ""} for i in range(11)]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, given)))
    source = tmp_path / "list.jsonl"
    assert [part.num_rows for part in partitions(source, 4)] == [4, 4, 3]
    parts = [[row.product_id for row in rows(part)] for part in by_product(source, 4)]
    assert parts == [["p0"] * 3 + ["p1"] * 4, ["p2"] * 3 + [""]]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("list.jsonl", '{"uri": "a.jpg"}\n{"uri": ', "line 2: is not JSON"),
        ("list.jsonl", '{"url": "a.jpg"}', "line 1: has no uri; expected a path"),
        ("list.jsonl", "[1]", "line 1: has no uri"),
        ("list.jsonl", '{"uri": "a.jpg", "product_id": 7}', "product_id is 7; expected text"),
        ("list.jsonl", '{"uri": "a.jpg", "date": "yesterday"}', "'yesterday'; expected ISO 8601"),
        ("list.jsonl", '{"uri": "a.jpg"}\n{"uri": "a.jpg"}', "'a.jpg' occurs twice"),
        ("list.jsonl", "", "holds no pictures"),
        ("list.parquet", "PAR1 not", "cannot be read as Parquet"),
        ("shop.zip", "PK not", "cannot be read as an archive"),
        ("shop.tar", "not", "cannot be read as an archive"),
        ("shop.rar", "", "is no folder, archive or list; expected .zip"),
        ("missing.zip", None, "does not exist; expected a folder"),
    ],
)
def test_sources_that_cannot_be_read_are_told(tmp_path, name, content, problem):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(JobInputError, match=problem):
        listed(tmp_path / name)


def test_files_that_cannot_be_had_are_told(tmp_path):
    archive = zipped(tmp_path)
    (tmp_path / "large.jpg").write_bytes(bytes(101))
    with PictureFiles(FetchSettings(max_bytes=100)) as files:
        for uri, problem in (
            (tmp_path / "missing.jpg", "No such file"),
            (tmp_path, "Is a directory"),
            (f"{archive}!/nothing.jpg", "nothing.jpg"),
            (tmp_path / "large.jpg", "larger than 100 bytes"),
        ):
            with pytest.raises(UnreadableError, match=problem):
                files.read(str(uri))


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path.endswith(".jpg")
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "image/jpeg")
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_):
        pass


def test_pictures_on_the_web_are_fetched_some_at_a_time_and_never_from_our_own_network():
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        shop = f"http://127.0.0.1:{server.server_port}"
        with PictureFiles(FetchSettings(allowed_networks=("127.0.0.0/8",))) as files:
            addresses = [f"{shop}/{i}.jpg" for i in range(30)]
            assert files.each(files.read, addresses) == [f"/{i}.jpg".encode() for i in range(30)]
            with pytest.raises(UnreadableError, match="status 404"):
                files.read(f"{shop}/nothing")
        with PictureFiles(FetchSettings()) as files, pytest.raises(UnreadableError, match="not a public address"):
            files.read(f"{shop}/0.jpg")
        server.shutdown()

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL
from pathlib import Path

import pytest

from offline.indexing.articles import importing
from offline.indexing.articles.importing import import_file
from offline.indexing.articles.reading import ReadSettings
from services.catalog.resources import Article, Product
from shiwu.chassis.errors import UnavailableError
from tests.unit.offline.indexing.articles.dumps import dump, page

ROOT = Path(__file__).parents[5]
ONE = ReadSettings(workers=1)


def lines(path: Path, *records: object) -> Path:
    text = "\n".join(each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in records)
    path.write_text(f"{text}\n", encoding="utf-8")
    return path


def told(ledger) -> list[dict[str, object]]:
    return [json.loads(line) for line in ledger.problems.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
async def test_a_dump_becomes_articles(catalogue, store, tmp_path, pack):
    path = tmp_path / "dump.xml"
    path.write_bytes(
        pack(
            dump(
                page(1, "Instant camera", "An '''instant camera''' is a [[camera]].\n" + "word " * 30_000),
                page(2, "Talk:Instant camera", "Hm.", ns=1),
                page(3, "拍立得", "#REDIRECT [[x]]", redirect="Instant camera"),
                page(4, "Empty", "{{stub}}"),
                page("x", "Bad", "bad"),
                page(6, "单反相机", "'''单反相机'''是一种[[照相机]]。"),
            )
        )
    )
    ledger = await import_file(path, catalogue, tmp_path / "work", ONE)
    assert ledger.counts == {"added": 2, "namespace": 1, "redirect": 1, "no text": 1, "problems": 1}
    assert [each["record"] for each in told(ledger)] == [5]
    article = await store.get_article("testwiki:1")
    assert article.title == "Instant camera"
    assert article.body.startswith("An instant camera is a camera.\nword word")
    assert 50_000 < len(article.body) <= 100_000
    assert article.url == "https://wiki.example/wiki/Instant_camera"
    assert [each.article_id for each in await store.search_articles("照相机", offset=0, limit=5)] == ["testwiki:6"]


async def test_what_is_the_same_is_not_written_again(catalogue, store, tmp_path):
    path = lines(
        tmp_path / "a.jsonl",
        {"article_id": "a", "title": "A", "body": "a", "category": "toys"},
        {"article_id": "b", "title": "B", "url": "https://x.example/b"},
    )
    await import_file(path, catalogue, tmp_path / "work", ONE)
    before = await store.list_articles(after="", limit=10)
    ledger = await import_file(path, catalogue, tmp_path / "work", ONE)
    assert ledger.counts["unchanged"] == 2
    assert await store.list_articles(after="", limit=10) == before
    lines(path, {"article_id": "a", "title": "A", "body": "new"}, {"article_id": "b", "title": "B"})
    ledger = await import_file(path, catalogue, tmp_path / "work", ONE)
    assert ledger.counts == {"changed": 1, "unchanged": 1, "problems": 0}
    article = await store.get_article("a")
    assert (article.body, article.category) == ("new", "toys")  # what the source does not say stays
    assert (await store.get_article("b")).url == "https://x.example/b"


async def test_products_that_the_source_names_are_kept_apart_from_links_that_were_found(catalogue, store, tmp_path):
    for key in ("p1", "p2", "p3"):
        await store.create_product(Product(key, key, "toys"))
    await store.create_article(Article("a", "A", product_ids=("p1", "p2"), product_scores=(1.0, 0.5)))
    path = lines(tmp_path / "a.jsonl", {"article_id": "a", "title": "A", "product_ids": ["p3"]})
    await import_file(path, catalogue, tmp_path / "work", ONE)
    article = await store.get_article("a")
    assert (article.product_ids, article.product_scores) == (("p3", "p2"), (1.0, 0.5))
    ledger = await import_file(path, catalogue, tmp_path / "work", ONE)
    assert ledger.counts["unchanged"] == 1


async def test_bad_records_are_told_and_the_others_imported(catalogue, store, tmp_path):
    path = lines(
        tmp_path / "a.jsonl",
        {"article_id": "good", "title": "很好的文章"},
        "{no json",
        ["a list"],
        {"article_id": "with space", "title": "A"},
        {"article_id": "typo", "title": "A", "categroy": "toys"},
        {"article_id": "cars", "title": "A", "category": "cars"},
        {"article_id": "gone", "title": "A", "product_ids": ["no such product"]},
        {"article_id": "missing", "title": "A", "product_ids": ["p9"]},
        {"article_id": "nul", "title": "A\0"},
        '{"article_id": "half", "title": "\\ud800"}',
        "",
        {"article_id": "twice", "title": "First"},
        {"article_id": "twice", "title": "Second"},
    )
    ledger = await import_file(path, catalogue, tmp_path / "work", ONE)
    problems = {each["record"]: each["problem"] for each in told(ledger)}
    assert list(problems) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert "not JSON" in problems[2]
    assert "categroy" in problems[5]
    assert "expected one of shoes" in problems[6]
    assert "'p9' does not exist" in problems[8]
    assert "NUL" in problems[9]
    assert [each.article_id for each in await store.list_articles(after="", limit=9)] == ["good", "twice"]
    assert (await store.get_article("twice")).title == "Second"
    assert ledger.counts == {"added": 2, "changed": 1, "no text": 1, "problems": 9}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
async def test_a_file_that_breaks_off_is_imported_as_far_as_it_goes(catalogue, tmp_path, pack):
    path = tmp_path / "a.jsonl.packed"
    records = "".join(f'{{"article_id": "a{i}", "title": "T{i * 7919 % 997}"}}\n' for i in range(50_000))
    path.write_bytes(pack(records.encode())[:-2000])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "put", _counted := _Put())
        ledger = await import_file(path, catalogue, tmp_path / "work", ONE)
    assert ledger.counts["added"] == _counted.calls
    assert "cannot be read on from here" in told(ledger)[-1]["problem"]


class _Put:
    """Stands for writing to the catalogue where a test is about reading."""

    calls = 0

    async def __call__(self, *_args):
        self.calls += 1
        return "added"


@pytest.mark.parametrize("content", [b"", b"article_id,title\n", b"\x1f\x8bno gzip", b"[]"])
async def test_a_file_that_is_something_else_is_refused(catalogue, tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises((ValueError, OSError)):
        await import_file(path, catalogue, tmp_path / "work", ONE)


async def test_hostile_wikitext_costs_its_own_page_only(catalogue, store, tmp_path):
    path = tmp_path / "dump.xml"
    path.write_bytes(dump(page(1, "Bomb", "<b>" * 100_000), page(2, "Good", "good")))
    ledger = await import_file(path, catalogue, tmp_path / "work", ReadSettings(workers=1, page_seconds=1.0))
    assert "'Bomb' was not read within 1 s" in told(ledger)[0]["problem"]
    assert (await store.get_article("testwiki:2")).body == "good"


async def test_an_import_goes_on_where_the_catalogue_went_away(catalogue, store, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "_BATCH", 5)
    path = lines(tmp_path / "a.jsonl", "{", *({"article_id": f"a{i:02}", "title": "T"} for i in range(29)))
    put, seen = importing.put, []

    async def failing(source, catalogue):
        seen.append(source.article_id)
        if source.article_id == "a17":
            raise UnavailableError("gone")
        return await put(source, catalogue)

    monkeypatch.setattr(importing, "put", failing)
    with pytest.raises(UnavailableError, match="gone"):
        await import_file(path, catalogue, tmp_path / "work", ONE)
    monkeypatch.setattr(importing, "put", put)
    written = {each.article_id for each in await store.list_articles(after="", limit=99)}
    assert "a17" not in written
    ledger = await import_file(path, catalogue, tmp_path / "work", ONE)
    assert ledger.records == 30
    assert [each["record"] for each in told(ledger)] == [1]
    assert len(await store.list_articles(after="", limit=99)) == 29


@pytest.mark.slow
async def test_killed_anywhere_it_comes_to_the_same(target, store, tmp_path):
    """The command, killed after its first batches by SIGKILL while the catalogue goes on."""
    path = lines(tmp_path / "a.jsonl", *({"article_id": f"a{i}", "title": "T"} if i % 50 else "{" for i in range(600)))
    command = [sys.executable, "-m", "offline.indexing.articles", "import", str(path)]
    command += ["--catalog", target, "--work", str(tmp_path / "work")]
    state = tmp_path / "work" / "progress.json"

    def progress() -> int:
        return json.loads(state.read_text())["records"] if state.exists() else 0

    for _ in range(2):
        before = progress()
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=DEVNULL, start_new_session=True)
        while progress() == before:  # noqa: ASYNC110 (another process writes it)
            await asyncio.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        assert before < progress() < 600
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=DEVNULL)
    assert await process.wait() == 1
    problems = [json.loads(line) for line in (tmp_path / "work" / "problems.jsonl").read_text().splitlines()]
    assert [each["record"] for each in problems] == list(range(1, 601, 50))
    assert len(await store.list_articles(after="", limit=999)) == 588

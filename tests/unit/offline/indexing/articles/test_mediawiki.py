from __future__ import annotations

import io
import tracemalloc

import pytest

from offline.indexing.articles import mediawiki
from offline.indexing.articles.mediawiki import Page, read_pages
from offline.indexing.articles.records import Problem
from tests.unit.offline.indexing.articles.dumps import HEAD, dump, page


def read(data: bytes) -> list[Page | Problem]:
    return list(read_pages(io.BytesIO(data)))


def test_pages_are_read_as_of_their_last_revision():
    camera, talk, moved, script = read(
        dump(
            page(12, "Instant camera", "It prints & <b>more</b>."),
            page(13, "Talk:Instant camera", "Hm.", ns=1),
            page(14, "拍立得", "#REDIRECT [[Instant camera]]", redirect="Instant camera"),
            page(15, "MediaWiki.js", "alert(1)", model="javascript"),
        )
    )
    assert (camera.page_id, camera.title, camera.namespace, camera.redirect) == ("12", "Instant camera", 0, False)
    assert camera.wikitext == "It prints & <b>more</b>."
    assert (talk.namespace, moved.redirect, script.wikitext) == (1, True, "")
    assert [each.record for each in (camera, talk, moved, script)] == [1, 2, 3, 4]
    assert camera.site.name == "testwiki"
    assert camera.site.url("What's A/B? 相机") == "https://wiki.example/wiki/What%27s_A/B%3F_%E7%9B%B8%E6%9C%BA"
    assert {"file", "category", "文件", "分类"} <= camera.site.hidden


def test_a_page_without_what_it_needs_is_a_problem_and_the_others_go_on():
    bad, good = read(dump(page("x", "A", "a"), page(2, "B", "b")))
    assert isinstance(bad, Problem)
    assert "id 'x'" in bad.problem
    assert good.title == "B"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (dump(page(1, "A", "a"))[:-6], "not XML from here on"),
        (dump(page(1, "A", "a")).replace(b"</mediawiki>", b"<page><title>\xff</title></page>"), "not XML from here on"),
        (dump(page(1, "A", "a"), "<page></wrong>"), "not XML from here on"),
    ],
)
def test_a_dump_that_breaks_off_gives_what_was_before(data, problem):
    first, last = read(data)
    assert first.title == "A"
    assert problem in last.problem
    assert last.record == 2


LOL = "<!DOCTYPE mediawiki [" + '<!ENTITY a0 "lol">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
) + "]>"  # fmt: skip


@pytest.mark.parametrize(
    "document_type",
    [LOL, '<!DOCTYPE m [<!ENTITY f SYSTEM "file:///etc/passwd">]>', '<!DOCTYPE m SYSTEM "http://127.0.0.1:9/x.dtd">'],
)
def test_document_types_are_refused(document_type):
    (problem,) = read(document_type.encode() + dump(page(1, "A", "&a9;&f;").replace("&amp;", "&")))
    assert "document type" in problem.problem


def test_a_page_of_any_size_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(mediawiki, "_LARGEST_REVISION", 1 << 20)
    first, problem = read(dump(page(1, "A", "a"), page(2, "B", "b" * (3 << 20))))
    assert first.title == "A"
    assert "larger than 1 MiB" in problem.problem


def test_memory_does_not_grow_with_the_dump():
    def peak(pages: int) -> int:
        data = io.BytesIO(HEAD.encode() + b"".join(page(i, f"T{i}", "x" * 500).encode() for i in range(pages)))
        tracemalloc.start()
        assert sum(1 for _ in read_pages(data)) == pages + 1  # and the missing end
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(1000) < peak(100) * 1.5

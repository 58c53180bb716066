from __future__ import annotations

import pytest

from offline.indexing.articles.wikitext import plain

HIDDEN = {"file", "category", "文件", "分类"}


@pytest.mark.parametrize(
    ("wikitext", "wanted"),
    [
        ("'''Instant''' [[camera]]s and [[Film|''film'']]", "Instant cameras and film"),
        ("A {{convert|3|m}} long<ref name=x>{{cite|y}}</ref> rope<!-- no -->", "A long rope"),
        ("A[[File:A.jpg|thumb|Of a [[camera]]]]B[[Category:Cameras]][[文件:a.jpg|x]][[ 分类 :相机]]", "AB"),
        ("[[:Category:Cameras|All cameras]]", "All cameras"),
        ("B\n{| class=x\n| a || [[b]]\n|}\nC", "B\n\nC"),
        ("== Use ==\n* one &amp; two\n* [https://x.example three]", "Use \n one & two\n three"),
        ("'''软件'''\uff08{{lang|en|software}}\uff09是…", "软件是…"),
        ("-{zh-hans:软件; zh-hant:軟體}-和-{A|zh-cn:鼠标;zh-tw:滑鼠}-", "软件和鼠标"),
        ("-{R|不}--{T|zh:x}-和-{zh-tw:甲;zh-hk:乙}-和-{丙}-", "和甲和丙"),
        ("__NOTOC__A<gallery>\nFile:a.jpg|b\n</gallery>", "A"),
        ("{{Infobox", "{{Infobox"),
        ("", ""),
    ],
)
def test_plain_text_is_what_a_reader_sees(wikitext, wanted):
    assert plain(wikitext, HIDDEN) == wanted

"""Lists on the wire: their pages, page tokens and filters, for every kind of resource."""

from __future__ import annotations

import pytest

from shiwu.v1 import catalog_resources_pb2 as resources
from tests.unit.catalog.kinds import EXAMPLES, Kind
from tests.unit.catalog.refusals import refused


async def numbered(kind, count):
    for number in range(count):
        resource = kind.example
        setattr(resource, f"{kind.name}_id", f"n{number:02}")
        await kind.create(resource)


async def test_pages_follow_each_other(kind):
    await numbered(kind, 7)
    whole = [kind.key(each) for each in kind.items(await kind.list())]
    assert whole == sorted(whole)
    found, token = [], ""
    while True:
        page = await kind.list(page_size=3, page_token=token)
        assert len(kind.items(page)) <= 3
        found += [kind.key(each) for each in kind.items(page)]
        if not (token := page.next_page_token):
            break
    assert found == whole


async def test_the_last_full_page_has_no_token(kind):
    await numbered(kind, 2)
    total = len(kind.items(await kind.list()))
    assert (await kind.list(page_size=total)).next_page_token == ""


@pytest.mark.parametrize("size", [0, -1, 1001, 2**31 - 1, -(2**31)])
async def test_page_sizes_are_checked(kind, size):
    assert str(size) in await refused(kind.list(page_size=size), "INVALID_ARGUMENT", field="page_size")


@pytest.mark.parametrize("token", ["x", "====", "鞋", "AAAA", "A" * 5000, "bm9uc2Vuc2Vub25zZW5zZQ"])
async def test_garbage_is_no_page_token(kind, token):
    await refused(kind.list(page_token=token), "INVALID_ARGUMENT", field="page_token")


async def test_a_token_of_another_list_is_refused(kind, stub):
    await numbered(kind, 3)
    token = (await kind.list(page_size=1)).next_page_token
    assert token
    filters = {
        "style": {"category": "shoes"},
        "product": {"style_id": "s0"},
        "offer": {"product_id": "p0"},
        "article": {"query": "shoes"},
    }[kind.name]
    await refused(kind.list(page_token=token, **filters), "INVALID_ARGUMENT", field="page_token")
    other = Kind("offer" if kind.name != "offer" else "style", stub)
    await refused(other.list(page_token=token), "INVALID_ARGUMENT", field="page_token")
    for position in (0, len(token) // 2, len(token) - 1):
        changed = token[:position] + ("A" if token[position] != "A" else "Q") + token[position + 1 :]
        await refused(kind.list(page_token=changed), "INVALID_ARGUMENT", field="page_token")
    await kind.list(page_token=token, page_size=50)  # the size may change


async def test_a_deleted_row_does_not_break_its_page_token(kind):
    await numbered(kind, 4)
    page = await kind.list(page_size=2)
    await kind.delete(kind.key(kind.items(page)[-1]))
    rest = await kind.list(page_token=page.next_page_token)
    assert kind.key(kind.items(rest)[0]) > kind.key(kind.items(page)[-1])


@pytest.mark.parametrize(
    ("name", "filters", "field"),
    [
        ("style", {"category": "vehicles"}, "category"),
        ("product", {"category": "vehicles"}, "category"),
        ("product", {"style_id": "a b"}, "style_id"),
        ("offer", {"product_id": "a b"}, "product_id"),
        ("article", {"query": "x" * 1001}, "query"),
    ],
)
async def test_filters_are_checked(stub, name, filters, field):
    await refused(Kind(name, stub).list(**filters), "INVALID_ARGUMENT", field=field)


async def test_filters_choose(kind):
    for resource in ("style", "product", "offer", "article"):
        await Kind(resource, kind.stub).create(EXAMPLES[resource])
    stub = kind.stub

    async def keys(name, **filters):
        lister = Kind(name, stub)
        return [lister.key(each) for each in lister.items(await lister.list(**filters))]

    assert await keys("style", category="bags") == []
    assert await keys("product", style_id="s0") == ["p"]
    assert await keys("product", style_id="s0", category="bags") == []
    assert await keys("offer", product_id="p0") == ["o"]
    assert await keys("offer", product_id="p") == []
    assert await keys("article", query="running") == ["a"]
    assert await keys("article", query="walking") == []


async def test_a_search_has_pages(stub):
    articles = Kind("article", stub)
    for number in range(5):
        await articles.create(resources.Article(article_id=f"a{number}", title="Tea"))
    found, token = [], ""
    while True:
        page = await articles.list(query="tea", page_size=2, page_token=token)
        found += [each.article_id for each in page.articles]
        if not (token := page.next_page_token):
            break
    assert found == [f"a{number}" for number in range(5)]
    token = (await articles.list(query="tea", page_size=2)).next_page_token
    await refused(articles.list(query="coffee", page_token=token), "INVALID_ARGUMENT", field="page_token")

"""Create, get, list, update and delete on the wire, for every kind of resource."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources
from tests.unit.catalog.refusals import refused

EXAMPLES = {
    "style": resources.Style(style_id="s", title="Runner", category="shoes"),
    "product": resources.Product(
        product_id="p",
        style_id="s0",
        title="Runner, red",
        brand="Acme",
        category="shoes",
        description="红色 · fast",
        gtin="4006381333931",
    ),
    "offer": resources.Offer(
        offer_id="o",
        product_id="p0",
        merchant="Shop",
        price=Money(currency_code="EUR", units=19, nanos=990_000_000),
        url="https://shop.example/runner?red=1",
        available=True,
    ),
    "article": resources.Article(
        article_id="a",
        title="On running",
        body="Shoes.",
        url="http://news.example/",
        category="shoes",
        product_ids=["p0"],
        product_scores=[0.5],
    ),
}


@dataclass
class Kind:
    """The methods for one kind of resource."""

    name: str
    stub: Any

    @property
    def example(self) -> Any:
        return copy.deepcopy(EXAMPLES[self.name])

    def create(self, resource: Any) -> Any:
        return self._call("Create", **{self.name: resource})

    def get(self, key: str) -> Any:
        return self._call("Get", **{f"{self.name}_id": key})

    def delete(self, key: str) -> Any:
        return self._call("Delete", **{f"{self.name}_id": key})

    def update(self, resource: Any, *paths: str) -> Any:
        mask = FieldMask(paths=paths) if paths else None
        return self._call("Update", **{self.name: resource}, update_mask=mask)

    def list(self, **filters: Any) -> Any:
        return self._call("List", plural="s", **filters)

    def key(self, resource: Any) -> str:
        return getattr(resource, f"{self.name}_id")

    def items(self, response: Any) -> list[Any]:
        return list(getattr(response, f"{self.name}s"))

    def _call(self, verb: str, plural: str = "", **fields: Any) -> Any:
        method = f"{verb}{self.name.capitalize()}{plural}"
        return getattr(self.stub, method)(getattr(pb, f"{method}Request")(**fields))


@pytest_asyncio.fixture(params=list(EXAMPLES), loop_scope="session")
async def kind(request, stub):
    await stub.CreateStyle(pb.CreateStyleRequest(style=resources.Style(style_id="s0", category="shoes")))
    product = resources.Product(product_id="p0", title="t", category="shoes")
    await stub.CreateProduct(pb.CreateProductRequest(product=product))
    return Kind(request.param, stub)


def without_times(resource):
    resource = copy.deepcopy(resource)
    for name in ("create_time", "update_time"):
        if name in resource.DESCRIPTOR.fields_by_name:
            resource.ClearField(name)
    return resource


async def test_a_resource_goes_round(kind):
    created = await kind.create(kind.example)
    assert without_times(created) == kind.example
    assert created.update_time.seconds > 1_700_000_000
    assert await kind.get(kind.key(kind.example)) == created
    assert created in kind.items(await kind.list())
    await kind.delete(kind.key(kind.example))
    message = await refused(kind.get(kind.key(kind.example)), "NOT_FOUND")
    assert repr(kind.key(kind.example)) in message


async def test_what_is_output_only_is_ignored(kind):
    resource = kind.example
    resource.update_time.CopyFrom(Timestamp(seconds=7))
    assert (await kind.create(resource)).update_time.seconds > 7


async def test_a_taken_key_is_refused(kind):
    await kind.create(kind.example)
    assert "exists" in await refused(kind.create(kind.example), "ALREADY_EXISTS")


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "tab\t", "\x00", "\u2003"])
async def test_keys_are_checked_everywhere(kind, key):
    resource = kind.example
    setattr(resource, f"{kind.name}_id", key)
    field = f"{kind.name}_id"
    await refused(kind.create(resource), "INVALID_ARGUMENT", field=f"{kind.name}.{field}")
    await refused(kind.update(resource), "INVALID_ARGUMENT", field=f"{kind.name}.{field}")
    await refused(kind.get(key), "INVALID_ARGUMENT", field=field)
    await refused(kind.delete(key), "INVALID_ARGUMENT", field=field)


@pytest.mark.parametrize("key", ["-", "%2F", "鞋" * 128, "a'b\"c", "\U0001f45f", "../x"])
async def test_any_printable_key_is_good(kind, key):
    resource = kind.example
    setattr(resource, f"{kind.name}_id", key)
    await kind.create(resource)
    assert kind.key(await kind.get(key)) == key


async def test_an_update_changes_what_its_mask_names_or_all(kind):
    created = await kind.create(kind.example)
    field = "merchant" if kind.name == "offer" else "title"
    other = "url" if kind.name in ("offer", "article") else "category"
    changed = kind.example
    setattr(changed, field, "New")
    setattr(changed, other, "https://new.example/" if other == "url" else "bags")
    updated = await kind.update(changed, field)
    assert getattr(updated, field) == "New"
    assert getattr(updated, other) == getattr(created, other)
    updated = await kind.update(changed)
    assert without_times(updated) == changed
    assert await kind.get(kind.key(changed)) == updated
    assert without_times(await kind.update(kind.example, "*")) == kind.example


async def test_an_update_of_nobody_is_refused(kind):
    await refused(kind.update(kind.example), "NOT_FOUND")


@pytest.mark.parametrize("path", ["nonsense", "update_time", "title.x", "", "price.units"])
async def test_masks_name_fields_that_can_be_changed(kind, path):
    await kind.create(kind.example)
    message = await refused(kind.update(kind.example, path), "INVALID_ARGUMENT", field="update_mask")
    assert repr(path) in message
    await refused(kind.update(kind.example, f"{kind.name}_id"), "INVALID_ARGUMENT", field="update_mask")


async def test_a_field_outside_the_mask_is_not_looked_at(kind):
    await kind.create(kind.example)
    resource = kind.example
    if kind.name == "offer":
        resource.price.units = -1
        await kind.update(resource, "merchant")
    else:
        resource.category = "nonsense"
        await kind.update(resource, "title")


async def test_a_request_without_its_resource_is_refused(kind):
    await refused(kind.create(None), "INVALID_ARGUMENT", field=kind.name)


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


async def test_two_creators_of_one_key_do_not_both_win(kind):
    outcomes = await asyncio.gather(*(kind.create(kind.example) for _ in range(8)), return_exceptions=True)
    refusals = [each for each in outcomes if isinstance(each, Exception)]
    assert len(refusals) == 7
    assert {each.code().name for each in refusals} == {"ALREADY_EXISTS"}


WRONG = [
    ("style", "title", "x" * 501),
    ("style", "title", "a\x00"),
    ("style", "category", ""),
    ("style", "category", "Shoes"),
    ("product", "style_id", "a b"),
    ("product", "title", ""),
    ("product", "title", " \n "),
    ("product", "title", "x" * 501),
    ("product", "brand", "x" * 201),
    ("product", "category", "vehicles"),
    ("product", "description", "x" * 10_001),
    ("product", "gtin", "1234567"),
    ("product", "gtin", "123456789012345"),
    ("product", "gtin", "12345678x"),
    ("product", "gtin", "\u0661" * 8),
    ("offer", "product_id", ""),
    ("offer", "merchant", ""),
    ("offer", "merchant", "x" * 201),
    ("offer", "url", "ftp://x.example/"),
    ("offer", "url", "javascript:alert(1)"),
    ("offer", "url", "https://"),
    ("offer", "url", "https://x.example/a b"),
    ("offer", "url", "https://x.example:99999/"),
    ("offer", "url", "https://[::1/"),
    ("offer", "url", "https://x.example/" + "a" * 2048),
    ("article", "title", ""),
    ("article", "body", "x" * 100_001),
    ("article", "url", "x.example"),
    ("article", "category", "vehicles"),
]


@pytest.mark.parametrize(("name", "field", "value"), WRONG)
async def test_every_field_obeys_the_contract(stub, name, field, value):
    kind = Kind(name, stub)
    resource = kind.example
    setattr(resource, field, value)
    await refused(kind.create(resource), "INVALID_ARGUMENT", field=f"{name}.{field}")
    await refused(kind.update(resource, field), "INVALID_ARGUMENT", field=f"{name}.{field}")


@pytest.mark.parametrize(
    ("price", "part"),
    [
        (Money(currency_code="EUR", units=-1), "units"),
        (Money(currency_code="EUR", nanos=-1), "nanos"),
        (Money(currency_code="EUR", nanos=10**9), "nanos"),
        (Money(units=1), "currency_code"),
        (Money(currency_code="eur", units=1), "currency_code"),
        (Money(currency_code="EURO", units=1), "currency_code"),
        (Money(currency_code="ZZZ", units=1), "currency_code"),
        (Money(), "currency_code"),
    ],
)
async def test_prices_are_checked(stub, price, part):
    offer = copy.deepcopy(EXAMPLES["offer"])
    offer.price.CopyFrom(price)
    await refused(Kind("offer", stub).create(offer), "INVALID_ARGUMENT", field=f"offer.price.{part}")


@pytest.mark.parametrize(
    "price",
    [
        Money(currency_code="JPY"),
        Money(currency_code="EUR", nanos=1),
        Money(currency_code="USD", units=2**63 - 1, nanos=999_999_999),
    ],
)
async def test_extreme_prices_are_exact(stub, price):
    product = resources.Product(product_id="p0", title="t", category="shoes")
    await stub.CreateProduct(pb.CreateProductRequest(product=product))
    offer = copy.deepcopy(EXAMPLES["offer"])
    offer.price.CopyFrom(price)
    await Kind("offer", stub).create(offer)
    assert (await Kind("offer", stub).get("o")).price == price


async def test_longest_allowed_values_are_kept(stub):
    product = resources.Product(
        product_id="p" * 128,
        title="题" * 500,
        brand="b" * 200,
        category="other",
        description="d" * 10_000,
        gtin="0" * 14,
    )
    await stub.CreateProduct(pb.CreateProductRequest(product=product))
    assert without_times(await Kind("product", stub).get("p" * 128)) == product


@pytest.mark.parametrize(
    ("product_ids", "field"),
    [
        (["p0", ""], "article.product_ids[1]"),
        (["p0", "p0"], "article.product_ids"),
        (["p"] * 1001, "article.product_ids"),
    ],
)
async def test_an_articles_products_are_checked(kind, product_ids, field):
    article = resources.Article(article_id="a", title="t", product_ids=product_ids)
    await refused(Kind("article", kind.stub).create(article), "INVALID_ARGUMENT", field=field)


@pytest.mark.parametrize(
    ("scores", "field"),
    [
        ([0.5, 0.0], "article.product_scores[1]"),
        ([1.5], "article.product_scores[0]"),
        ([float("nan")], "article.product_scores[0]"),
        ([0.5, 0.5], "article.product_scores"),
    ],
)
async def test_scores_are_one_for_each_product(kind, scores, field):
    article = resources.Article(article_id="a", title="t", product_ids=["p0"], product_scores=scores)
    await refused(Kind("article", kind.stub).create(article), "INVALID_ARGUMENT", field=field)


async def test_scores_change_only_with_their_products(stub):
    articles = Kind("article", stub)
    await Kind("product", stub).create(resources.Product(product_id="p0", title="p", category="shoes"))
    await articles.create(articles.example)
    await refused(articles.update(articles.example, "product_scores"), "INVALID_ARGUMENT", field="update_mask")
    changed = articles.example
    changed.product_scores[:] = [0.25]
    assert list((await articles.update(changed, "product_ids", "product_scores")).product_scores) == [0.25]


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [("product", "style_id", "s9"), ("offer", "product_id", "p9"), ("article", "product_ids", ["p9"])],
)
async def test_what_is_referred_to_must_exist(stub, name, field, value):
    resource = type(EXAMPLES[name])()
    resource.CopyFrom(EXAMPLES[name])
    resource.ClearField(field)
    getattr(resource, field).extend(value) if isinstance(value, list) else setattr(resource, field, value)
    message = await refused(Kind(name, stub).create(resource), "NOT_FOUND")
    assert field in message
    assert "9" in message


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


async def test_a_style_with_products_is_not_deleted(kind):
    await Kind("product", kind.stub).create(EXAMPLES["product"])
    assert "has products" in await refused(Kind("style", kind.stub).delete("s0"), "FAILED_PRECONDITION")


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

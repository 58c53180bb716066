"""Which values the fields of resources may have, on the wire."""

from __future__ import annotations

import copy

import pytest
from google.type.money_pb2 import Money

from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources
from tests.unit.catalog.kinds import EXAMPLES, Kind, without_times
from tests.unit.catalog.refusals import refused

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

"""Rows of feeds: what is understood, and what every kind of bad row is told."""

from __future__ import annotations

import io
import json
from decimal import Decimal

import pytest

from services.catalog.feeds import Feed
from services.catalog.resources import Offer, Product, Style
from shiwu.wire.ids import image_id
from tests.unit.feeds.reading import bad, one


def own(**columns: str) -> str:
    """A CSV feed of one row with our own columns."""
    columns = {"product_id": "p1", "title": "Boot", "category": "shoes"} | columns
    quoted = ('"' + value.replace('"', '""') + '"' for value in columns.values())
    return f"{','.join(columns)}\n{','.join(quoted)}\n"


def google(**columns: str) -> str:
    columns = {"id": "g1", "title": "Boot", "google_product_category": "187"} | columns
    quoted = ('"' + value.replace('"', '""') + '"' for value in columns.values())
    return f"{','.join(columns)}\n{','.join(quoted)}\n"


def test_own_columns():
    row = one(
        "product_id,title,category,style_id,style_title,brand,description,gtin,images,merchant,price,currency,url,"
        "available,offer_id,unknown\n"
        'p1, Boot ,Shoes,s1,Boots,Acme,"Two\nlines",12345678,a.jpg | b/c.jpg,Shop,"1,299.00",EUR,https://s.example/1,no,o1,x\n'
    )
    assert row.product == Product(
        "p1", "Boot", "shoes", style_id="s1", brand="Acme", description="Two\nlines", gtin="12345678"
    )
    assert row.style == Style("s1", "Boots", "shoes")
    assert row.offer == Offer("o1", "p1", "Shop", Decimal("1299.00"), "EUR", "https://s.example/1", available=False)
    assert row.images == ("a.jpg", "b/c.jpg")


def test_json_lines_keep_numbers_exact_and_take_lists():
    line = '{"product_id": 7, "title": "Ring", "category": "jewellery", "price": 0.10, "currency": "USD", '
    line += '"merchant": "M", "available": false, "brand": null, "images": ["a|b.jpg", "c.jpg"]}'
    row = one(line, "jsonl")
    assert row.product == Product("7", "Ring", "jewellery")
    assert row.offer is not None
    assert (str(row.offer.price), row.offer.available) == ("0.10", False)
    assert row.images == ("a|b.jpg", "c.jpg")


def test_google_columns():
    row = one(
        "id\ttitle\tdescription\tlink\timage link\tadditional_image_link\tavailability\tprice\tsale_price\tbrand\t"
        "gtin\titem_group_id\tgoogle_product_category\n"
        "g1\tBag\tNice\thttps://s.example/g1\thttps://s.example/1.jpg\thttps://s.example/2.jpg,https://s.example/3.jpg\t"
        "in stock\t59.00 USD\t49.90 USD\tAcme\t00012345678905\tgroup\tLuggage & Bags > Backpacks\n",
        "tsv",
        merchant="Shop",
    )
    assert row.product == Product(
        "g1", "Bag", "bags", style_id="group", brand="Acme", description="Nice", gtin="00012345678905"
    )
    assert row.offer is not None
    assert (row.offer.price, row.offer.currency, row.offer.merchant) == (Decimal("49.90"), "USD", "Shop")
    assert row.images == tuple(f"https://s.example/{n}.jpg" for n in (1, 2, 3))
    assert row.style == Style("group", "", "bags")


@pytest.mark.parametrize(
    ("node", "category"),
    [
        ("187", "shoes"),
        ("Apparel & Accessories > Shoes", "shoes"),
        ("apparel & accessories  >  clothing > Shirts & Tops", "clothing"),
        ("Apparel & Accessories > Clothing Accessories > Hats", "other"),
        ("Apparel & Accessories > Jewelry > Watches", "jewellery"),
        ("Media > Books > E-books", "books"),
        ("Media > DVDs & Videos", "other"),
        ("Home & Garden > Kitchen & Dining > Kitchen Appliances > Toasters", "appliances"),
        ("Food, Beverages & Tobacco", "food"),
        ("436", "furniture"),
    ],
)
def test_googles_taxonomy(node: str, category: str):
    assert one(google(google_product_category=node)).product.category == category


def test_product_type_decides_when_google_product_category_is_empty():
    assert one(google(google_product_category="", product_type="Toys")).product.category == "toys"
    assert one(google(google_product_category="", product_type="Electronics > Audio")).product.category == "appliances"


@pytest.mark.parametrize(
    ("period", "price"),
    [
        ("", "5"),
        ("2026-11-01T00:00-0800/2026-12-01T00:00-0800", "5"),
        ("2026-01-01T00:00-0800/2026-02-01T00:00-0800", "9"),
    ],
)
def test_a_sale_price_holds_in_its_period(period: str, price: str):
    row = one(google(price="9 USD", sale_price="5 USD", sale_price_effective_date=period), merchant="M")
    assert row.offer is not None
    assert row.offer.price == Decimal(price)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("12.99 USD", "12.99"),
        ("USD 12.99", "12.99"),
        ("1,299.00 USD", "1299.00"),
        ("0 USD", "0"),
        ("12,345,678 USD", "12345678"),
    ],
)
def test_prices(text: str, amount: str):
    row = one(own(price=text, merchant="M"))
    assert row.offer is not None
    assert (row.offer.price, row.offer.currency) == (Decimal(amount), "USD")


@pytest.mark.parametrize(
    ("columns", "field", "problem"),
    [
        ({"price": "12.99"}, "currency", "has no currency"),
        ({"price": "$12.99"}, "price", "ISO 4217 code"),
        ({"price": "12,99 EUR"}, "price", "point before the decimals"),
        ({"price": "1.299,00 EUR"}, "price", "not a price"),
        ({"price": "-1 EUR"}, "price", "not below zero"),
        ({"price": "1e3 EUR"}, "price", "not a price"),
        ({"price": "NaN EUR"}, "price", "not a price"),
        ({"price": "١٢ EUR"}, "price", "not a price"),
        ({"price": "1" * 13 + " EUR"}, "price", "not a price"),
        ({"price": "12 Euro"}, "price", "not a currency"),
        ({"price": "12 USS"}, "price", "not a currency"),
        ({"price": "12", "currency": "usd"}, "currency", "not a currency"),
        ({"price": "12 USD", "currency": "EUR"}, "currency", "but the price says USD"),
        ({"price": ""}, "price", "merchant asks for an offer"),
        ({"price": "1 USD", "merchant": ""}, "merchant", "default_merchant"),
        ({"price": "1 USD", "url": "shop.example/1"}, "url", "does not begin with http"),
        ({"price": "1 USD", "url": "ftp://shop.example/1"}, "url", "does not begin with http"),
        ({"price": "1 USD", "url": "https://"}, "url", "has no host"),
        ({"price": "1 USD", "url": "https://s.example/a b"}, "url", "white space"),
        ({"price": "1 USD", "url": "https://[::1"}, "url", "is not an address"),
        ({"price": "1 USD", "url": "https://s.example:99999/"}, "url", "is not an address"),
        ({"price": "1 USD", "url": "https://s.example/" + "x" * 3000}, "url", "longer than 2,048"),
        ({"price": "1 USD", "available": "maybe"}, "available", "expected one of true"),
        ({"product_id": ""}, "product_id", "is missing or empty; expected at least"),
        ({"product_id": "a b"}, "product_id", "without white space"),
        ({"product_id": "x" * 129}, "product_id", "at most 128"),
        ({"style_id": "a\tb"}, "style_id", "without white space"),
        ({"title": "", "category": ""}, "title", "is missing or empty, and so is category"),
        ({"title": "x" * 501}, "title", "at most 500"),
        ({"category": "cars"}, "category", "shoes, bags"),
        ({"gtin": "123"}, "gtin", "8 to 14 digits"),
        ({"brand": "x" * 201}, "brand", "at most 200"),
        ({"description": "x" * 10_001}, "description", "at most 10,000"),
        ({"images": "a.jpg|b.jpg|a.jpg"}, "images", "listed twice"),
        ({"images": "a.jpg||b.jpg"}, "images", "empty entry"),
        ({"image": "ftp://x/a.jpg"}, "image", "does not begin with http"),
        ({"image": "file:///etc/passwd"}, "image", "relative to the feed"),
        ({"title": "nul\0"}, "title", "NUL"),
    ],
)
def test_a_bad_row_says_which_column_and_what_is_expected(columns: dict[str, str], field: str, problem: str):
    given_columns = {"merchant": "M"} | columns if "price" in columns else columns
    found = bad(own(**given_columns))
    assert (found.row, found.field) == (2, field)
    assert problem in found.problem


def test_an_unknown_google_category_is_an_error_and_not_other():
    found = bad(google(google_product_category="Spaceships > Fast"))
    assert found.field == "google_product_category"
    assert "Spaceships" in found.problem
    assert bad(google(google_product_category="", product_type="Gadgets")).field == "product_type"


def test_the_row_itself_is_reported():
    assert json.loads(bad(own(category="cars")).content)["category"] == "cars"


def test_a_default_merchant_stands_in_for_the_column():
    data = b"product_id,title,category,price\np,t,toys,1 USD"
    Feed("csv", "Shop").check(io.BytesIO(data))
    row = one(data, merchant="Shop")
    assert row.offer is not None
    assert row.offer.merchant == "Shop"


def test_offers_and_images_have_the_same_ids_in_every_feed():
    first, second = one(own(price="1 USD", merchant="A")), one(own(price="2 USD", merchant="A", brand="B"))
    other = one(own(price="1 USD", merchant="B"))
    assert first.offer is not None
    assert second.offer is not None
    assert other.offer is not None
    assert first.offer.offer_id == second.offer.offer_id != other.offer.offer_id
    assert image_id("p", "a.jpg") == image_id("p", "a.jpg") != image_id("pa", ".jpg")

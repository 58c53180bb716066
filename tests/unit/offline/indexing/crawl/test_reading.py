"""The pure parts of crawling: prices, categories, products, sitemaps, robots, pages."""

from __future__ import annotations

import gzip
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.indexing.crawl.category_words import guess_category
from offline.indexing.crawl.pages import Page, absolute, read_page, same_page
from offline.indexing.crawl.prices import Price, amount_of, price_of
from offline.indexing.crawl.products import products_of
from offline.indexing.crawl.robots import RobotsFile, Rules, directives
from offline.indexing.crawl.sitemaps import read_sitemap
from offline.indexing.crawl.sites import Site

SITE = Site(url="https://s.example/", merchant="Shop")
URL = "https://s.example/p/1"


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("12.99", "12.99"), (12.5, "12.5"), (7, "7"), ("1,299.00", "1299.00"), ("1.299,00", "1299.00"),
        ("12,9", "12.9"), ("1,299", "1299"), ("1.299", "1.299"), (" 5 ", "5"), ("0", ""), (0.0, ""), ("-3", ""),
        ("$5", ""), ("free", ""), (True, ""), (None, ""), ({}, ""), ("1e5", ""), (float("nan"), ""), ("9" * 13, ""),
        ("12,99,1", ""),
    ],
)  # fmt: skip
def test_amounts(value: object, amount: str):
    assert amount_of(value) == amount


@pytest.mark.parametrize(
    ("offers", "price"),
    [
        (None, None),
        ({"@type": "Offer", "price": "5"}, None),
        ({"price": "5", "priceCurrency": "eur"}, Price("5", "EUR", True)),
        ({"price": 5, "priceCurrency": "EUR", "availability": "PreOrder"}, Price("5", "EUR", False)),
        (
            {"price": 5, "priceCurrency": "EUR", "availability": {"@id": "https://schema.org/InStock"}},
            Price("5", "EUR", True),
        ),
        ({"lowPrice": 4, "highPrice": 9, "priceCurrency": "USD"}, Price("4", "USD", True)),
        ([{"price": 5, "priceCurrency": "EUR"}, {"price": 3, "priceCurrency": "EUR"}], Price("3", "EUR", True)),
        (
            [{"price": 5, "priceCurrency": "EUR"}, {"price": 3, "priceCurrency": "EUR", "availability": "OutOfStock"}],
            Price("5", "EUR", True),
        ),
        ([{"price": 5, "priceCurrency": "EUR"}, {"price": 3, "priceCurrency": "USD"}], Price("5", "EUR", True)),
        ({"lowPrice": 1, "priceCurrency": "EUR", "offers": [{"price": 2}, {"price": 3}]}, Price("2", "EUR", True)),
        ({"priceSpecification": [{"price": "8.00", "priceCurrency": "CNY"}]}, Price("8.00", "CNY", True)),
    ],
)
def test_prices(offers: object, price: Price | None):
    assert price_of(offers) == price


@pytest.mark.parametrize(
    ("paths", "trail", "category"),
    [
        (["Apparel & Accessories > Shoes > Boots"], [], "shoes"),
        (["187"], [], "shoes"),
        ([], ["Home", "Women", "Handbags"], "bags"),
        ([], ["首页", "女装", "连衣裙"], "clothing"),
        ([], ["Home", "Shoes", "Care"], "shoes"),
        ([], ["Tablets"], ""),
        ([], ["Shoes & Bags"], ""),
        ([], [], ""),
        (["Software"], [], "other"),
    ],
)
def test_categories(paths: list[str], trail: list[str], category: str):
    assert guess_category(paths, trail) == category


def found(*items: dict[str, Any], url: str = URL) -> Any:
    return products_of(Page(url, url, (), items, ()), SITE)


def test_of_several_products_those_of_other_pages_are_not_this_pages():
    own = {"@type": "Product", "name": "Own", "image": "a.jpg", "url": "/p/1?colour=red"}
    other = {"@type": "Product", "name": "Other", "image": "b.jpg", "url": "/p/2"}
    assert [row["title"] for row in found(own, other).rows] == ["Own"]
    assert [row["title"] for row in found(other).rows] == ["Other"]


def test_a_list_of_other_products_is_not_the_pages():
    listed = {"@type": "ListItem", "item": {"@type": "Product", "name": "Listed", "image": "b.jpg"}}
    assert found({"@type": "ItemList", "itemListElement": [listed]}).rows == ()


def test_references_by_id_are_followed_to_the_group():
    group = {"@type": "ProductGroup", "@id": "#g", "name": "Group", "brand": "Acme", "productGroupID": "G"}
    variant = {"@type": "Product", "name": "One", "sku": "1", "image": "a.jpg", "isVariantOf": {"@id": "#g"}}
    rows = {row["title"]: row for row in found({"@graph": [group | {"hasVariant": []}, variant]}).rows}
    assert (rows["One"]["brand"], rows["One"]["style_title"]) == ("Acme", "Group")
    named = {"@type": "Product", "@id": "#v", "name": "Two", "sku": "2", "image": "b.jpg"}
    [row] = found({"@graph": [group | {"hasVariant": [{"@id": "#v"}]}, named]}).rows
    assert (row["title"], row["brand"]) == ("Two", "Acme")


def test_ids_depend_on_the_shops_number_and_else_on_the_page():
    product = {"@type": "Product", "name": "A", "image": "a.jpg"}

    def key(item: dict[str, Any], url: str = URL) -> str:
        [row] = found(item, url=url).rows
        return str(row["product_id"])

    assert key(product | {"sku": "1"}) == key(product | {"sku": "1", "name": "B"}, "https://s.example/p/2")
    assert key(product) != key(product, "https://s.example/p/2")
    assert key(product) == key(product | {"name": "B"}, f"{URL}?utm_source=x#top")
    other = Site(url="https://t.example/", merchant="Shop")
    [row] = products_of(Page(URL, URL, (), (product | {"sku": "1"},), ()), other).rows
    assert row["product_id"] != key(product | {"sku": "1"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["Product", "5", "EUR", "/a.jpg"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["@type", "@id", "@graph", "name", "image", "offers", "price", "priceCurrency", "brand", "category", "url",
             "hasVariant", "isVariantOf", "itemListElement", "position", "availability", "sku", "gtin"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.lists(st.dictionaries(st.just("@graph"), JSON), max_size=2), JSON)
def test_whatever_json_a_page_holds_gives_rows_or_none(items: list[dict[str, Any]], value: Any):
    product = {
        "@type": "Product",
        "name": "A",
        "image": value,
        "offers": value,
        "category": value,
        "isVariantOf": value,
    }
    for row in found(*items, product).rows:
        assert row["title"]
        assert all(str(image).startswith("https://") for image in row["images"])
        assert "price" not in row or Decimal(row["price"]) > 0


def test_sitemaps():
    ns = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
    image = "<image:image><image:loc>https://s.example/a.jpg</image:loc></image:image>"
    urls = f"<urlset {ns}><url><loc> https://s.example/1 </loc>{image}</url><url><loc>/2</loc></url></urlset>"
    for data in (urls.encode(), gzip.compress(urls.encode()), b"\xef\xbb\xbf" + urls.encode()):
        assert read_sitemap(data, 10_000).pages == ["https://s.example/1", "/2"]
    assert read_sitemap(b"https://s.example/1\n\nhttps://s.example/2\n", 10_000).pages[1] == "https://s.example/2"
    index = read_sitemap(f"<sitemapindex {ns}><sitemap><loc>/s.xml</loc></sitemap></sitemapindex>".encode(), 10_000)
    assert (index.sitemaps, index.pages, index.problem) == (["/s.xml"], [], "")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"<html><body/></html>", "is <html>; expected <urlset> or <sitemapindex>"),
        (b"<urlset>", "is not well-formed XML"),
        (b"\x1f\x8bnot gzip", "is not gzip"),
        (gzip.compress(b"x" * 100_000_000), "is larger than 10,000 bytes"),
        (b'<!DOCTYPE urlset [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>', ""),
        (b"<urlset>" + b"<url><loc>/1</loc></url>" * 50_001 + b"</urlset>", "names more than 50,000 addresses"),
    ],
)
def test_bad_sitemaps(data: bytes, problem: str):
    found = read_sitemap(data, 10_000 if b"<loc>/1" not in data else 1 << 22)
    assert problem in found.problem
    assert all("a" not in page for page in found.pages)  # no entity was replaced


def test_robots():
    rules = Rules(
        RobotsFile(200, "User-agent: *\nDisallow: /a*b$\nCrawl-delay: 2\nRequest-rate: 1/5\nSitemap: /s.xml\n")
    )
    assert (rules.allow("https://s.example/axb"), rules.allow("https://s.example/axbc")) == (False, True)
    assert (rules.delay, rules.sitemaps, rules.refusal) == (5.0, ["/s.xml"], "")
    for status, refused in ((404, False), (403, False), (410, False), (429, True), (500, True), (503, True), (0, True)):
        rules = Rules(RobotsFile(status, "User-agent: *\nDisallow: /\n"))
        assert bool(rules.refusal) is refused
        assert rules.allow("https://s.example/")
    assert directives(["noindex, NoFollow"]) == {"noindex", "nofollow"}
    assert directives(["otherbot: noindex", "shiwu-crawler: nofollow"]) == {"nofollow"}
    assert directives(["none"]) >= {"noindex", "nofollow"}


def test_pages():
    html = b"""<head><base href="/shop/"><link rel="canonical" href="own"></head><a href="a#x">1</a><a href="a#y">2</a>
    <a href="b" rel="sponsored nofollow">3</a><a href="http://[">4</a><a href="javascript:x">5</a>
    <a href="//t.example">6</a>"""
    page = read_page(html, "text/html", URL)
    assert page.url == "https://s.example/shop/own"
    assert page.links == ("https://s.example/shop/a", "https://t.example")
    assert read_page(b"", "text/html", URL).problems == ("is empty, or no HTML in spite of its content type",)
    assert read_page(html, "text/html", URL, ["noindex"]).problems == ("asks robots not to keep it",)
    foreign = read_page(b'<link rel=canonical href="https://t.example/">', "text/html", URL)
    assert foreign.url == URL
    german = '<script type="application/ld+json">{"name": "Füße"}</script>'.encode("latin-1")
    assert read_page(german, "text/html; charset=iso-8859-1", URL).items[0]["name"] == "Füße"


@given(st.binary(max_size=200))
def test_whatever_is_sent_as_html_is_read(data: bytes):
    read_page(b"<a href='" + data + b"'>" + data, "text/html", URL)


@given(st.text(max_size=40))
def test_addresses_are_http_or_nothing_and_have_one_name(text: str):
    url = absolute(URL, text)
    if url:
        assert url.startswith(("http://", "https://"))
        assert url.isascii()
        assert same_page(same_page(url)) == same_page(url)

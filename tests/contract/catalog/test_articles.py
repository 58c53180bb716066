"""Looking articles up."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from services.catalog.resources import Article, Offer, Product, Style

BODIES = {
    "espresso": ("Espresso cups", "Small cups of porcelain for strong coffee.", "furniture"),
    "running": ("How to choose running shoes", "Cushioning, drop and fit.", "shoes"),
    "history": ("运动鞋的历史", "跑步鞋从橡胶底开始。咖啡馆里也有人穿。", "shoes"),
    "kettle": ("Kettles", "For tea; and for coffee by hand. Coffee! Coffee!", "appliances"),
    "any": ("Caring for leather", "Shoes and bags alike.", ""),
}


@pytest.fixture
async def articles(store):
    for key, (title, body, category) in BODIES.items():
        await store.create_article(Article(key, title, body, category=category))
    return store


async def found(store, query, **window):
    return [each.article_id for each in await store.search_articles(query, **({"offset": 0, "limit": 10} | window))]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("espresso", ["espresso"]),
        ("ESPRESSO", ["espresso"]),
        ("cup", ["espresso"]),  # a plural is found by its singular
        ("shoes", ["running", "any"]),  # in the title before in the body
        ("running shoe", ["running"]),  # all words
        ("运动鞋", ["history"]),
        ("咖啡", ["history"]),  # in the midst of a row of characters
        ("鞋", ["history"]),
        ("跑步鞋從橡膠", ["history"]),  # in traditional characters
        ("鞋动", []),  # not in this order
        ("跑步 coffee", []),
        ("zebra", []),
        ("", []),
        (" \t ", []),
    ],
)
async def test_words_find_articles(articles, query, wanted):
    assert await found(articles, query) == wanted


async def test_the_article_that_is_called_so_comes_first(store):
    for number in range(30):
        await store.create_article(Article(f"a{number}", f"Camera {number}", "camera " * 5))
    long = "An instrument for pictures, with a lens and a shutter. " * 100
    await store.create_article(Article("the", "Cameras", long))
    assert (await found(store, "camera"))[0] == "the"
    await store.create_product(Product("p", "Camera", "appliances"))
    _, articles = await store.describe(["p"], max_articles=3)
    assert articles[0].article_id == "the"


@pytest.mark.parametrize(
    "query",
    ['"', "'", "a'b", "(",
     "coffee AND", "NEAR(", "title:x", "co*", "^a", "-", "\\", ":*", "& |", "!x", "{", "\x00", "%",
     "a\x00b", "<->", "\U0001f45f", "x" * 5000, "OR OR", "NOT", "'; DROP TABLE articles; --", "\u202e\u0301"],
)  # fmt: skip
async def test_any_text_is_a_query(articles, query):
    await found(articles, query)
    assert await found(articles, f"espresso {query}") in (["espresso"], [])


async def test_random_text_is_kept_and_found(store):
    rng = random.Random(3)
    letters = [*map(chr, range(1, 0x250)), *"鞋动运ｱ\u3042\ud55c\U00020000\U0001f45f'\"\\:&|!()*<>"]
    for number in range(30):
        title = "".join(rng.choices(letters, k=40)) + " needle"
        await store.create_article(Article(f"a{number}", title, title))
        await store.search_articles(title, offset=0, limit=1)
    assert len(await found(store, "needle", limit=100)) == 30


async def test_the_longest_article_is_kept(store):
    rng = random.Random(5)
    body = "".join(map(chr, rng.choices(range(0x4E00, 0x9FFF), k=100_000)))
    await store.create_article(Article("long", "Long", body))
    assert await found(store, body[:3]) == ["long"]
    assert (await store.get_article("long")).body == body


async def test_pages_of_a_search_are_complete_and_in_order(store):
    for number in range(12):
        await store.create_article(Article(f"a{number:02}", "Tea", "tea " * (number % 5)))
    whole = await found(store, "tea", limit=100)
    assert sorted(whole) == [f"a{number:02}" for number in range(12)]
    assert [key for start in range(0, 12, 5) for key in await found(store, "tea", offset=start, limit=5)] == whole


async def test_changed_and_deleted_articles_are_found_by_what_they_say_now(articles):
    await articles.update_article("kettle", {"title": "Teapots"})
    assert await found(articles, "kettle") == []
    assert await found(articles, "teapot") == ["kettle"]
    await articles.delete_article("kettle")
    assert await found(articles, "teapot") == []
    await articles.create_article(Article("new", "Vase"))
    assert await found(articles, "teapot") == []


async def test_scores_belong_to_the_products_written_with_them(store):
    for key in ("p1", "p2"):
        await store.create_product(Product(key, key, "toys"))
    created = await store.create_article(Article("a", "A", product_ids=("p2", "p1"), product_scores=(1, 0.3)))
    assert created == await store.get_article("a")
    changed = await store.update_article("a", {"title": "B"})
    assert (changed.product_ids, changed.product_scores) == (("p2", "p1"), (1, 0.3))
    changed = await store.update_article("a", {"product_ids": ("p1",), "product_scores": (0.4,)})
    assert changed == await store.get_article("a")
    assert (changed.product_ids, changed.product_scores) == (("p1",), (0.4,))
    changed = await store.update_article("a", {"product_ids": ("p1",)})
    assert changed.product_scores == ()


class TestDescribe:
    @pytest.fixture
    async def shop(self, articles):
        await articles.create_style(Style("s", "Runner", "shoes"))
        await articles.create_product(Product("p1", "Red running shoe", "shoes", style_id="s"))
        await articles.create_product(Product("p2", "Chair", "furniture"))
        for key, price, currency, available in (
            ("dear", "20", "EUR", True),
            ("cheap", "3", "EUR", True),
            ("cheapest", "1", "EUR", False),
            ("dollars", "9.5", "USD", True),
            ("big", "100", "EUR", True),
            ("cents", "3.50", "EUR", True),
        ):
            await articles.create_offer(Offer(key, "p1", "Shop", Decimal(price), currency, available=available))
        return articles

    async def test_products_come_in_the_order_asked_for_with_style_and_offers(self, shop):
        described, none = await shop.describe(["p2", "gone", "p1", "p2"], max_articles=0)
        assert none == []
        assert [each.product for each in described] == [await shop.get_product("p2"), await shop.get_product("p1")]
        assert [each.style for each in described] == [None, await shop.get_style("s")]
        offers = [offer.offer_id for offer in described[1].offers]
        assert offers == ["cheap", "cents", "dear", "big", "dollars", "cheapest"]
        assert described[1].offers[0] == await shop.get_offer("cheap")
        assert described[0].offers == ()

    async def test_articles_about_the_product_come_first_then_those_like_its_title(self, shop):
        await shop.create_article(Article("about", "Unlike", category="toys", product_ids=("p1",)))
        _, articles = await shop.describe(["gone", "p1"], max_articles=10)
        assert [each.article_id for each in articles] == ["about", "running"]
        assert articles[0].product_ids == ("p1",)

    async def test_the_latest_article_about_the_product_comes_first_and_none_twice(self, shop):
        await shop.update_article("running", {"product_ids": ("p1",)})
        await shop.create_article(Article("later", "Later", product_ids=("p1",)))
        _, articles = await shop.describe(["p1"], max_articles=10)
        assert [each.article_id for each in articles] == ["later", "running"]
        _, articles = await shop.describe(["p1"], max_articles=1)
        assert [each.article_id for each in articles] == ["later"]

    async def test_links_count_by_score_then_those_to_the_product_itself_before_those_to_its_style(self, shop):
        await shop.create_product(Product("p3", "Blue running shoe", "shoes", style_id="s"))
        for key, products, scores in (
            ("unsure", ("p1",), (0.5,)),
            ("style", ("p3",), ()),
            ("itself", ("p3", "p1"), ()),
            ("style, too", ("p2", "p3"), (0.9, 0.75)),
            ("both", ("p1", "p3"), (0.25, 0.6)),
            ("other", ("p2",), ()),
        ):
            await shop.create_article(Article(key, "Unlike", product_ids=products, product_scores=scores))
        _, articles = await shop.describe(["p1"], max_articles=10)
        assert [each.article_id for each in articles] == [
            "itself", "style", "style, too", "both", "unsure", "running",
        ]  # fmt: skip
        assert articles[2] == await shop.get_article("style, too")
        _, articles = await shop.describe(["p2"], max_articles=2)  # it has no style
        assert [each.article_id for each in articles] == ["other", "style, too"]

    async def test_likeness_is_of_titles_and_within_the_category(self, shop):
        await shop.create_product(Product("p3", "Coffee cup", "furniture"))
        await shop.create_product(Product("p4", "Kettle 3 l", "toys"))
        await shop.create_product(Product("p5", "Leather belt", "clothing"))
        await shop.create_product(Product("p6", "运动鞋", "shoes"))
        await shop.create_product(Product("p7", '3 of "the"\'', "shoes"))

        async def like(product_id):
            _, articles = await shop.describe([product_id], max_articles=5)
            return [each.article_id for each in articles]

        assert await like("p3") == ["espresso"]  # the kettle's body speaks of coffee, its category is another
        assert await like("p4") == []
        assert await like("p5") == ["any"]  # an article of no category is for all
        assert await like("p6") == ["history"]
        assert await like("p7") == []

    async def test_nothing_known_is_nothing_said(self, shop):
        assert await shop.describe(["gone"], max_articles=10) == ([], [])

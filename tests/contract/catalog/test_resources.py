"""Styles, products, offers and articles: what every adapter of CatalogStore does with them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from services.catalog.resources import Article, Offer, Product, Style
from shiwu.chassis.errors import AlreadyExistsError, NotFoundError, PreconditionError

AWKWARD = "识物 'quotes\" \\ % _ ; -- \U0001f45f\n"


def kinds():
    """create, get, list, update, delete of each kind of resource, and a way to make one with a key."""
    return {
        "style": (lambda key: Style(key, "Runner", "shoes"), "style_id"),
        "product": (lambda key: Product(key, "Runner red", "shoes"), "product_id"),
        "offer": (lambda key: Offer(key, "P", "Shop", Decimal("9.90"), "EUR"), "offer_id"),
        "article": (lambda key: Article(key, "On running"), "article_id"),
    }


@pytest.fixture(params=list(kinds()))
async def kind(request, store):
    if request.param == "offer":
        await store.create_product(Product("P", "Runner", "shoes"))
    make, key = kinds()[request.param]
    methods = [getattr(store, f"{verb}_{request.param}") for verb in ("create", "get", "update", "delete")]
    if request.param == "product":
        methods[-1] = partial(store.delete_product, images=[])
    return (make, key, *methods, getattr(store, f"list_{request.param}s"))


async def test_what_was_created_is_read_back_with_its_times(kind):
    make, _, create, get, *_ = kind
    before = datetime.now(UTC)
    created = await create(make("k1"))
    assert created == await get("k1")
    assert before <= created.update_time <= datetime.now(UTC)
    assert created.update_time.tzinfo is UTC


async def test_a_key_is_taken_once(kind):
    make, _, create, get, *_ = kind
    created = await create(make("k1"))
    with pytest.raises(AlreadyExistsError, match="'k1' exists"):
        await create(make("k1"))
    assert await get("k1") == created


async def test_what_does_not_exist_is_named(kind):
    _, _, _, get, update, delete, _ = kind
    for call in (
        get("nobody"),
        update("nobody", {"url": ""} if kind[1] == "offer_id" else {"title": "x"}),
        delete("nobody"),
    ):
        with pytest.raises(NotFoundError, match="'nobody' does not exist"):
            await call


async def test_an_update_changes_what_it_names(kind):
    make, _, create, get, update, *_ = kind
    created = await create(make("k1"))
    field = "merchant" if isinstance(created, Offer) else "title"
    updated = await update("k1", {field: AWKWARD})
    assert getattr(updated, field) == AWKWARD
    assert await get("k1") == updated
    assert updated.update_time > created.update_time
    assert getattr(updated, "create_time", None) == getattr(created, "create_time", None)


async def test_a_deleted_thing_is_gone_and_its_key_free(kind):
    make, _, create, get, _, delete, _ = kind
    await create(make("k1"))
    await delete("k1")
    with pytest.raises(NotFoundError):
        await get("k1")
    await create(make("k1"))


async def test_lists_are_sorted_by_code_points_and_cut_after_a_key(kind):
    make, key, create, *_, pages = kind
    keys = ["a", "B", "Z", "ä", "_", "-", "10", "9", "鞋", "\U0001f45f", "a-b", "ab"]
    for each in keys:
        await create(make(each))
    wanted = sorted(keys)
    assert [getattr(each, key) for each in await pages(after="", limit=100)] == wanted
    found, last = [], ""
    while page := await pages(after=last, limit=5):
        assert len(page) <= 5
        found += page
        last = getattr(page[-1], key)
    assert [getattr(each, key) for each in found] == wanted


async def test_two_writers_of_the_same_key_do_not_both_win(open_store):
    stores = [open_store() for _ in range(4)]
    outcomes = await asyncio.gather(
        *(store.create_product(Product("p", f"Number {n}", "shoes")) for n, store in enumerate(stores)),
        return_exceptions=True,
    )
    [winner] = [each for each in outcomes if isinstance(each, Product)]
    assert sum(isinstance(each, AlreadyExistsError) for each in outcomes) == 3
    assert await stores[0].get_product("p") == winner


async def test_writers_at_the_same_time_wait_for_each_other(open_store):
    stores = [open_store(), open_store()]
    await asyncio.gather(*(stores[n % 2].create_style(Style(f"s{n:03}", "", "bags")) for n in range(40)))
    assert len(await stores[0].list_styles(after="", limit=100)) == 40


async def test_lists_are_filtered(store):
    for key, category in (("s1", "shoes"), ("s2", "bags")):
        await store.create_style(Style(key, "", category))
    for key, style, category in (("p1", "s1", "shoes"), ("p2", "", "shoes"), ("p3", "s1", "toys")):
        await store.create_product(Product(key, "t", category, style_id=style))
    for key, product in (("o1", "p1"), ("o2", "p2"), ("o3", "p1")):
        await store.create_offer(Offer(key, product, "Shop", Decimal(1), "EUR"))

    async def keys(pages, name, **filters):
        return [getattr(each, name) for each in await pages(after="", limit=9, **filters)]

    assert await keys(store.list_styles, "style_id", category="bags") == ["s2"]
    assert await keys(store.list_products, "product_id", style_id="s1") == ["p1", "p3"]
    assert await keys(store.list_products, "product_id", category="shoes") == ["p1", "p2"]
    assert await keys(store.list_products, "product_id", style_id="s1", category="shoes") == ["p1"]
    assert await keys(store.list_offers, "offer_id", product_id="p1") == ["o1", "o3"]
    assert list(await store.find_styles(["s2", "s9"])) == ["s2"]
    assert set(await store.find_products(["p1", "p3", "p9", "p1"])) == {"p1", "p3"}
    assert await store.find_products([]) == {}


async def test_a_product_needs_its_style(store):
    with pytest.raises(NotFoundError, match="style_id: 's9' does not exist"):
        await store.create_product(Product("p", "t", "shoes", style_id="s9"))
    await store.create_product(Product("p", "t", "shoes"))
    with pytest.raises(NotFoundError, match="style_id: 's9' does not exist"):
        await store.update_product("p", {"style_id": "s9"})
    assert (await store.get_product("p")).style_id == ""


async def test_an_offer_needs_its_product(store):
    with pytest.raises(NotFoundError, match="product_id: 'p9' does not exist"):
        await store.create_offer(Offer("o", "p9", "Shop", Decimal(1), "EUR"))
    await store.create_product(Product("p", "t", "shoes"))
    await store.create_offer(Offer("o", "p", "Shop", Decimal(1), "EUR"))
    with pytest.raises(NotFoundError, match="product_id: 'p9' does not exist"):
        await store.update_offer("o", {"product_id": "p9"})


async def test_a_style_with_products_stays(store):
    await store.create_style(Style("s", "", "shoes"))
    await store.create_product(Product("p", "t", "shoes", style_id="s"))
    with pytest.raises(PreconditionError, match="style 's' has products"):
        await store.delete_style("s")
    await store.update_product("p", {"style_id": ""})
    await store.delete_style("s")


@pytest.mark.parametrize("amount", ["0", "0.000000001", "19.99", "9223372036854775807.999999999", "100", "1E+3"])
async def test_prices_are_exact(store, amount):
    await store.create_product(Product("p", "t", "shoes"))
    await store.create_offer(Offer("o", "p", "Shop", Decimal(amount), "EUR"))
    assert (await store.get_offer("o")).price == Decimal(amount)


async def test_an_article_keeps_its_products_in_their_order(store):
    for key in ("p1", "p2", "p3"):
        await store.create_product(Product(key, "t", "shoes"))
    article = Article("a", "T", AWKWARD, "https://e.org/", "shoes", ("p3", "p1"))
    created = await store.create_article(article)
    assert created.product_ids == ("p3", "p1")
    assert await store.get_article("a") == created
    assert (await store.update_article("a", {"title": "U"})).product_ids == ("p3", "p1")
    updated = await store.update_article("a", {"product_ids": ("p2", "p3")})
    assert (updated.title, updated.product_ids) == ("U", ("p2", "p3"))
    await store.delete_product("p2", [])
    assert (await store.get_article("a")).product_ids == ("p3",)


async def test_an_article_needs_its_products(store):
    with pytest.raises(NotFoundError, match="product_ids: 'p9' does not exist"):
        await store.create_article(Article("a", "T", product_ids=("p9",)))
    with pytest.raises(NotFoundError):
        await store.get_article("a")
    await store.create_article(Article("a", "T"))
    with pytest.raises(NotFoundError, match="product_ids: 'p9' does not exist"):
        await store.update_article("a", {"title": "U", "product_ids": ("p9",)})
    assert (await store.get_article("a")).title == "T"


async def test_times_of_any_zone_are_the_same_moment(store):
    from datetime import timezone

    from services.catalog.coverage import Gap

    moment = datetime(2026, 3, 1, 1, 30, 0, 123456, timezone(timedelta(hours=8)))
    await store.record_gap(Gap("g", "shoes", 0.25, moment))
    [gap] = await store.list_gaps(before=None, limit=1)
    assert gap.scan_time == moment
    assert gap.scan_time.tzinfo is UTC


async def test_a_store_answers_that_it_is_ready(store):
    assert await store.ready()

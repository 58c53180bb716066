from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.indexing.articles.linking import FEATURES, Link, Linker, LinkRule, decide, read_rule
from offline.indexing.articles.texts import ArticleText, ProductText, head

PRODUCTS = (
    ProductText("camera", "Instant Camera", "Polaroid", "appliances", "A camera that prints its pictures on film."),
    ProductText("lens", "Camera Lens", "Nikon", "appliances", "A lens of glass for cameras."),
    ProductText("laptop", "Laptop", "Apple", "appliances", "A fast computer with a large screen."),
    ProductText("tablet", "Tablet", "Apple", "appliances", "A computer with a touch screen."),
    ProductText("fruit", "Fuji Apples 1 kg", "", "food", "Sweet and crisp fruit from the orchard."),
    ProductText("stool", "Wooden Stool", "", "furniture", "A seat of solid wood."),
    ProductText("sofa", "Leather Sofa", "", "furniture", "A seat for three people."),
    ProductText("zh", "宝丽来拍立得相机", "宝丽来", "appliances", "一次成像相机。"),
    ProductText("ball", "Basketball", "Wilson", "toys", "A ball for the game of basketball."),
    ProductText("shoe", "Basketball Shoe", "Nike", "shoes", "A shoe for the game of basketball."),
)


@pytest.fixture(scope="module")
def linker() -> Linker:
    return Linker(PRODUCTS, read_rule())


def written(linker: Linker, title: str, body: str = "", category: str = "") -> set[str]:
    sure, _ = decide(linker.links(ArticleText("a", title, body, category)), read_rule())
    return {link.product_id for link in sure}


@pytest.mark.parametrize(
    ("title", "body", "products"),
    [
        ("Instant camera", "An instant camera is a camera that prints its pictures.", {"camera"}),
        ("Polaroid Corporation", "Polaroid was an American company known for its instant film and cameras.", set()),
        ("Apple", "An apple is a sweet and crisp fruit that grows in orchards.", {"fruit"}),
        ("Apple Inc.", "Apple Inc. is an American technology company known for its laptops and tablets.", set()),
        ("Tablet (pharmacy)", "A tablet is a dose of medicine that is pressed from powder.", set()),
        ("Couch", "A couch, also known as a sofa, is a piece of furniture that seats two people.", {"sofa"}),
        ("Leather", "Leather is the tanned skin of animals.", set()),
        ("拍立得相機", "拍立得相機是一種一次成像的相機。", {"zh"}),
        ("宝丽来", "宝丽来是一家美国公司。一次成像的相机由它发明。", set()),
        ("!?", "", set()),
        ("Zebra", "A zebra is an animal with stripes.", set()),
    ],
)
def test_articles_are_linked_to_what_they_are_about(linker, title, body, products):
    assert written(linker, title, body) == products


def test_a_score_is_the_logistic_function_of_its_reasons(linker):
    rule = read_rule()
    links = linker.links(ArticleText("a", "Instant camera", "An instant camera by Polaroid.", "appliances"))
    assert links == sorted(links, key=lambda link: (-link.score, link.product_id))
    for link in links:
        assert link.score == pytest.approx(1 / (1 + math.exp(-rule.bias - sum(link.reasons.values()))), abs=0.002)
        assert link.reasons.keys() <= FEATURES.keys()


def test_a_category_that_does_not_agree_costs(linker):
    score = {
        category: linker.links(ArticleText("a", "Instant camera", "", category))[0].score
        for category in ("appliances", "", "toys")
    }
    assert score["appliances"] > score[""] > score["toys"]


def test_words_of_too_many_products_make_no_candidates():
    many = [ProductText(f"p{i}", f"Chair {'abcdefghij'[i]}{i}", "", "furniture") for i in range(10)]
    linker = Linker(many, LinkRule(), most_products=9)
    assert linker.candidates(ArticleText("a", "Chair")) == []
    assert [each.product_id for each in linker.candidates(ArticleText("a", "Chair d3"))] == ["p3"]


WORDS = [word for product in PRODUCTS for word in f"{product.title} {product.brand}".split()] + ["zebra", "是", "the"]


@given(st.lists(st.sampled_from(WORDS), max_size=4), st.lists(st.sampled_from(WORDS), max_size=9))
def test_candidates_are_all_products_that_share_a_word(title, body):
    linker = Linker(PRODUCTS, LinkRule())
    article = ArticleText("a", " ".join(title), " ".join(body))
    slow = [p.product_id for p in PRODUCTS if p.title_and_brand & (article.names | article.kind)]
    assert [each.product_id for each in linker.candidates(article)] == slow


@given(st.text(), st.text(), st.text())
def test_any_text_can_be_linked(title, body, other):
    linker = Linker([ProductText("p", title, other, "toys", body), ProductText("q", other, "", "food")], read_rule())
    for link in linker.links(ArticleText("a", title, body)):
        assert 0 < link.score < 1


def test_the_order_of_products_does_not_matter(linker):
    shuffled = list(PRODUCTS)
    random.Random(1).shuffle(shuffled)
    article = ArticleText("a", "Apple camera with a lens", "A laptop, or tablet, is a computer.")
    assert Linker(shuffled, read_rule()).links(article) == linker.links(article)


class TestDecide:
    RULE = LinkRule(accept=0.6, propose=0.3, margin=0.1)

    def decided(self, *links: tuple[str, str, float]) -> tuple[list[str], list[str]]:
        sure, doubtful = decide([Link("a", key, category, score, {}) for key, category, score in links], self.RULE)
        return [link.product_id for link in sure], [link.product_id for link in doubtful]

    def test_likely_links_are_written_weak_ones_proposed_and_the_others_forgotten(self):
        links = [("p", "toys", 0.9), ("q", "toys", 0.6), ("r", "toys", 0.3), ("s", "toys", 0.29)]
        assert self.decided(*links) == (["p", "q"], ["r"])

    def test_what_lies_in_another_category_than_the_best_is_proposed(self):
        assert self.decided(("p", "toys", 0.9), ("q", "food", 0.7)) == (["p"], ["q"])

    def test_a_close_call_between_categories_is_ambiguous(self):
        assert self.decided(("p", "toys", 0.9), ("q", "food", 0.85)) == ([], ["p", "q"])

    def test_nothing_is_nothing(self):
        assert self.decided() == ([], [])


@pytest.mark.parametrize(
    ("title", "wanted"),
    [("Instant Camera", "camera"), ("Fuji Apples 1 kg", "apple"), ("大白兔奶糖 500克", "奶糖"), ("小米手环8", "手环"),
     ("D850", ""), ("", "")],
)  # fmt: skip
def test_the_thing_itself_stands_last(title, wanted):
    assert head(title) == wanted

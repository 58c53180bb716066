from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiwu.words import index_words, query_words, stem, title_words


@pytest.mark.parametrize(
    ("word", "wanted"),
    [("shoes", "shoe"), ("cups", "cup"), ("berries", "berry"), ("glass", "glass"), ("bus", "bus"), ("gas", "gas"),
     ("dresses", "dresse"), ("dresse", "dresse"), ("schuhés", "schuhés"), ("x" * 80, "x" * 64)],
)  # fmt: skip
def test_stems(word, wanted):
    assert stem(word) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Red, RED shoes", ["red", "shoe"]),
        ("运动鞋", ["运动", "动鞋"]),
        ("鞋", ["鞋"]),
        ("Nike运动鞋42", ["nike", "运动", "动鞋", "42"]),
        ("\uff2e\uff49\uff4b\uff45", ["nike"]),  # full width
        ("即影即有相機", ["即影", "影即", "即有", "有相", "相机"]),  # traditional
        ("snake_case it's", ["snake", "case", "it", "s"]),
        ("!? _", []),
    ],
)
def test_queries(text, wanted):
    assert query_words(text) == wanted


def test_titles_lose_what_says_nothing():
    assert title_words("The set of 3 x Leather bags, 30 cm") == ["leather", "bag", "cm"]


@given(st.text(), st.text())
def test_every_text_is_found_by_any_part_of_it(before, text):
    words = set(index_words(f"{before} {text}"))
    assert set(query_words(text)) <= words


@given(st.text())
def test_words_need_no_quoting(text):
    for word in index_words(text):
        assert word
        assert all(character.isalnum() or not (character.isascii() or character.isspace()) for character in word)

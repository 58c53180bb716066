"""The table of regions."""

from __future__ import annotations

from typing import get_args

import pytest

from evaluation import crops
from evaluation.region_fitting import fit_regions
from services.gateway import messages
from services.gateway.cropping import CropSource
from tests.unit.evaluation.made_up import photos

RULE = fit_regions([*photos("a", 1), *photos("b", 2)]).rule


def recall(row, way):
    return row["ways"][way]["recall@1"]


def test_the_choice_lies_between_the_first_region_and_the_oracle():
    row = crops._row(photos("c", 3), RULE)
    assert recall(row, "first") + 0.1 < recall(row, "best by score") <= recall(row, "oracle")
    assert recall(row, "first") == recall(row, "detector's box"), "which is always the first here"
    assert 0.0 < row["looked_further"] < 1.0
    assert sum(row["taken"].values()) == pytest.approx(1.0)
    assert row["taken"]["second"] == 0.0


def test_without_a_rule_the_first_region_is_the_choice():
    row = crops._row(photos("c", 3), None)
    assert row["ways"]["best by score"] == row["ways"]["first"]
    assert (row["looked_further"], row["taken"]["detected"]) == (0.0, 1.0)


def test_a_page_keeps_its_words_and_gets_the_table_anew(tmp_path):
    page = tmp_path / "crops.md"
    page.write_text("# Words\n\n<!-- measured -->\n\nold table\n")
    figures = {"detector": "d@1", "embedder": "e@1", "sets": {"made up, c": crops._row(photos("c", 3, count=30), RULE)}}
    for _ in range(2):
        crops._write(figures, page)
        text = page.read_text()
        assert text.startswith("# Words\n\n<!-- measured -->\n")
        assert "old table" not in text
        assert text.count("| made up, c | 30 |") == 1
    assert page.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"


def test_every_source_of_a_crop_has_a_name_on_the_wire():
    assert set(messages._SOURCES) == set(get_args(CropSource))
    assert len(set(messages._SOURCES.values())) == len(messages._SOURCES)

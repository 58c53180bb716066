"""The ablation's rows, ledger and page, without training."""

from argparse import Namespace
from pathlib import Path

from offline.training.detector import ablation
from offline.training.detector.ablation import COLUMNS, ROWS, Budget, Entry, key_of, read_ledger, recipe_of, table
from offline.training.detector.measures import Figure

BUDGET = Budget(50, 320, 2)


def entry(row: str, seed: int, value: float) -> Entry:
    key = key_of(recipe_of(next(each for each in ROWS if each.name == row), seed, BUDGET))
    figures = {name: Figure(value, value - 0.1, value + 0.1, 30) for name in COLUMNS.values()}
    return Entry(key, row, seed, 2.0, 15.0, 0.9, figures)


def test_every_row_changes_one_part_of_the_recipe() -> None:
    reference = recipe_of(ROWS[0], 0, BUDGET)
    for row in ROWS[1:]:
        recipe = recipe_of(row, 0, BUDGET)
        changed = [part for part in type(recipe).model_fields if getattr(recipe, part) != getattr(reference, part)]
        assert changed == list(row.changes)
    assert len({key_of(recipe_of(row, seed, BUDGET)) for row in ROWS for seed in range(2)}) == 2 * len(ROWS)


def test_the_ledger_gives_back_what_was_added(tmp_path: Path) -> None:
    first, second = entry("quality", 0, 0.4), entry("points", 1, 0.5)
    for each in (first, second):
        ablation.add_to_ledger(tmp_path / "l.jsonl", each)
    assert read_ledger(tmp_path / "l.jsonl") == {first.key: first, second.key: second}
    assert read_ledger(tmp_path / "none.jsonl") == {}


def test_the_table_has_the_mean_over_seeds() -> None:
    lines = table({"points": [entry("points", 0, 0.4), entry("points", 1, 0.6)], "focal": []}).splitlines()
    assert len(lines) == 3
    assert "| Anchor-free points" in lines[2]
    assert lines[2].count("0.500 [0.40, 0.60]") == len(COLUMNS)


def test_the_page_keeps_its_text_and_gets_what_the_ledger_has(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before <!-- measured -->OUTDATED<!-- /measured --> after")
    for each in (entry("quality", 0, 0.4), entry("points", 0, 0.5)):
        ablation.add_to_ledger(tmp_path / "page.jsonl", each)
    ablation.report(BUDGET, Namespace(out=page))
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after")
    assert "OUTDATED" not in text
    assert "2 finished runs" in text
    assert (tmp_path / "page.png").stat().st_size > 1000

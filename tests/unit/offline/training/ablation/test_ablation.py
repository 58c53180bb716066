from __future__ import annotations

from pathlib import Path

import pytest

from offline.training.ablation import __main__ as command
from offline.training.ablation.ledger import Entry, add_to_ledger, read_ledger
from offline.training.ablation.report import comparisons, draw_bars, summary, table
from offline.training.ablation.rows import ROWS, Budget, chosen_rows, experiment_of, folder_name, key_of
from offline.training.embedder.retrieval import Estimate, Report

_BUDGET = Budget(steps=10, size=32, seeds=3)
_RUNS = Path("runs")


def _key(name: str, seed: int = 0) -> str:
    (row,) = (row for row in ROWS if row.name == name)
    return key_of(experiment_of(row, seed, _BUDGET, _RUNS))


def _entry(row: str, seed: int, recall: float) -> Entry:
    return Entry(key=f"{row}{seed}", row=row, seed=seed, minutes=1, recall_1={"a": recall, "b": 0.5}, map={"a": recall})


def test_rows_differ_by_more_than_their_name() -> None:
    keys = [_key(row.name) for row in ROWS]
    # The balance of batches is what the reference already has.
    assert len(set(keys)) == len(ROWS) - 1
    assert _key("balance") == _key("normalised")
    assert _key("gem", seed=1) != _key("gem")


def test_a_row_brings_what_it_is_compared_with_and_taught_by() -> None:
    assert [row.name for row in chosen_rows(["distil"])] == ["imagenet", "softmax", "normalised", "lite2", "distil"]
    assert chosen_rows([]) == list(ROWS)
    distil, lite2 = (experiment_of(row, 1, _BUDGET, _RUNS) for row in chosen_rows(["distil"])[:2:-1])
    assert distil.peer is not None
    assert distil.peer.checkpoint == _RUNS / folder_name(lite2)
    with pytest.raises(KeyError):
        chosen_rows(["magic"])


def test_a_finished_run_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def run(experiment: object, items: object, folder: Path) -> dict[str, Report]:
        ran.append(folder)
        one = Estimate(0.5, 0.4, 0.6)
        return {"shop": Report(3, 4, one, one, one)}

    monkeypatch.setattr(command, "run", run)
    for _ in range(2):
        for row in chosen_rows(["gem"]):
            command._finish(row, 0, _BUDGET, (), tmp_path, tmp_path / "ledger.jsonl")
    assert len(ran) == 4
    assert {entry.row for entry in read_ledger(tmp_path / "ledger.jsonl").values()} == {
        "imagenet",
        "softmax",
        "normalised",
        "gem",
    }


def test_the_ledger_gives_back_what_it_got(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.jsonl"
    assert read_ledger(path) == {}
    entries = [_entry("gem", 0, 0.25), _entry("gem", 1, 0.75)]
    for entry in entries:
        add_to_ledger(path, entry)
    assert list(read_ledger(path).values()) == entries


def test_seeds_have_to_agree(tmp_path: Path) -> None:
    measured = {
        "normalised": {seed: _entry("normalised", seed, 0.5) for seed in range(3)},
        "gem": {seed: _entry("gem", seed, 0.6) for seed in range(3)},
        "triplet": {seed: _entry("triplet", seed, 0.4 + 0.2 * seed) for seed in range(3)},
        "arcface": {seed: _entry("arcface", seed, 0.4) for seed in range(3)},
        "phone": {0: _entry("phone", 0, 0.9)},
    }
    found = comparisons(ROWS, measured)
    assert {c.row.name: c.verdict for c in found} == {
        "gem": "helps",
        "triplet": "no clear effect",
        "arcface": "hurts",
        "phone": "open",
    }
    (gem,) = (c for c in found if c.row.name == "gem")
    assert gem.recall_gains == pytest.approx([0.05] * 3)
    assert gem.per_probe["a"] == pytest.approx(0.1)
    assert "0.500 → 0.550 (+0.050, +0.050, +0.050)" in table(found)
    assert "- helps: GeM pooling\n- hurts: ArcFace\n" in summary(found)
    draw_bars(found, tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 1000

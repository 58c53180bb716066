"""What the ablation has measured so far: one JSON line a finished run, so that it goes on where it was cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from offline.training.embedder.retrieval import Report


class Entry(BaseModel):
    """A finished run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    """Of its experiment; see rows.py."""
    row: str
    seed: int
    minutes: float
    recall_1: dict[str, float]
    """Per probe; see offline/training/metric/probes.py."""
    map: dict[str, float]

    @classmethod
    def of(cls, key: str, row: str, seed: int, minutes: float, report: dict[str, Report]) -> Self:
        recall = {name: round(value.recall_1.mean, 4) for name, value in report.items()}
        precision = {name: round(value.map.mean, 4) for name, value in report.items()}
        return cls(key=key, row=row, seed=seed, minutes=round(minutes, 2), recall_1=recall, map=precision)


def read_ledger(path: Path) -> dict[str, Entry]:
    """Entries by key; none when there is no file."""
    if not path.exists():
        return {}
    entries = [Entry.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {entry.key: entry for entry in entries}


def add_to_ledger(path: Path, entry: Entry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry.model_dump()) + "\n")

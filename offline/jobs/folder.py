"""A job's folder: what it was asked to do, and what each of its tasks has made.

    job.json                        name and options
    STAGE/plan.json                 how many tasks the stage has
    STAGE/000012-000.parquet        what task 12 has made, a part or several
    STAGE/000012.json               its ledger entry: parts, their rows and SHA-256; written last, so it means "done"
    STAGE/000012.dead.json          why it was given up
    report/...                      what people look at

Every file is written under another name, flushed to the disk and renamed: none is ever there by half. Nothing in them
tells when or where it was made, so that two runs over the same input give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

_LEDGER: Final = "[0-9]" * 6 + ".json"
_DEAD: Final = "[0-9]" * 6 + ".dead.json"


@dataclass(frozen=True, slots=True)
class Dead:
    """A task that was given up."""

    stage: str
    task: int
    error: str
    """Of its last try."""
    attempts: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is."""

    stage: str
    tasks: int | None
    """None: not known yet, for stages before it are not done."""
    done: int
    dead: int
    rows: int
    """In the parts that are there."""


class JobFolder:
    """Reads and writes one job's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether there is a job in it."""
        return (self.path / "job.json").exists()

    def create(self, name: str, options: dict[str, Any]) -> None:
        """Raises FileExistsError if there is such a job."""
        if self.exists():
            msg = f"{self.path} holds a job already"
            raise FileExistsError(msg)
        write_whole(self.path / "job.json", to_json({"name": name, "options": options}))

    def asked(self) -> tuple[str, dict[str, Any]]:
        """The job's name and options. Raises FileNotFoundError."""
        job = json.loads((self.path / "job.json").read_text(encoding="utf-8"))
        return job["name"], job["options"]

    def plan(self, stage: str, tasks: int) -> None:
        """Notes how many tasks a stage has."""
        write_whole(self.path / stage / "plan.json", to_json({"tasks": tasks}))

    def is_done(self, stage: str, task: int) -> bool:
        """Whether the ledger has the task."""
        return self._entry(stage, task).exists()

    def finish(self, stage: str, task: int, tables: Iterable[pa.Table]) -> None:
        """Writes what a task has made, and last its ledger entry."""
        parts = [self._write_part(stage, f"{task:06d}-{i:03d}.parquet", table) for i, table in enumerate(tables)]
        write_whole(self._entry(stage, task), to_json({"parts": parts}))
        self._grave(stage, task).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes the drafts that killed workers have left. For when nobody works on the job any more."""
        for draft in self.path.glob("*/.*"):
            draft.unlink(missing_ok=True)

    def bury(self, dead: Dead) -> None:
        """Puts a task on the dead list, until it is done after all."""
        entry = {"error": dead.error, "attempts": dead.attempts}
        write_whole(self._grave(dead.stage, dead.task), to_json(entry))

    def dead(self) -> list[Dead]:
        """The dead list, by stage and task."""
        graves = sorted(self.path.glob(f"*/{_DEAD}"))
        entries = [(grave, json.loads(grave.read_text(encoding="utf-8"))) for grave in graves]
        return [
            Dead(grave.parent.name, int(grave.name.partition(".")[0]), entry["error"], entry["attempts"])
            for grave, entry in entries
        ]

    def parts(self, stage: str) -> list[Path]:
        """The stage's parts, by task; of a stage that is not done, those that are there."""
        return [part for entry in self._entries(stage) for part in self._files(stage, entry)]

    def made(self, stage: str, task: int) -> list[Path]:
        """The parts of a task that is done. Raises FileNotFoundError."""
        return self._files(stage, json.loads(self._entry(stage, task).read_text(encoding="utf-8")))

    def progress(self, stages: Sequence[str]) -> list[Progress]:
        """How far each of the job's stages is."""
        return [self._progress(stage) for stage in stages]

    def _progress(self, stage: str) -> Progress:
        plan = self.path / stage / "plan.json"
        tasks = json.loads(plan.read_text(encoding="utf-8"))["tasks"] if plan.exists() else None
        entries = list(self._entries(stage))
        rows = sum(part["rows"] for entry in entries for part in entry["parts"])
        return Progress(stage, tasks, len(entries), len(list((self.path / stage).glob(_DEAD))), rows)

    def _entries(self, stage: str) -> Iterator[dict[str, Any]]:
        for path in sorted((self.path / stage).glob(_LEDGER)):
            yield json.loads(path.read_text(encoding="utf-8"))

    def _files(self, stage: str, entry: dict[str, Any]) -> list[Path]:
        return [self.path / stage / part["file"] for part in entry["parts"]]

    def _entry(self, stage: str, task: int) -> Path:
        return self.path / stage / f"{task:06d}.json"

    def _grave(self, stage: str, task: int) -> Path:
        return self.path / stage / f"{task:06d}.dead.json"

    def _write_part(self, stage: str, name: str, table: pa.Table) -> dict[str, Any]:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        write_whole(self.path / stage / name, data)
        return {"file": name, "rows": table.num_rows, "sha256": hashlib.sha256(data).hexdigest()}


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file so that it is never there by half, not even after a loss of power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two workers may do the same task, if one was thought dead: each has a name of its own, and the bytes are equal.
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def to_json(value: Any) -> bytes:
    """Equal values give equal bytes."""
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()

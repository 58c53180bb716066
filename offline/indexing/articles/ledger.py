"""How far an import has come, on disk: killed anywhere, it goes on where it was, with its problems each told once."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from offline.indexing.articles.records import Problem

_HEAD = 1 << 20


def identity(path: Path, options: Mapping[str, object]) -> str:
    """Tells files and ways of reading them apart, without reading gigabytes: size, time of change, beginning."""
    found = path.stat()
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HEAD)).hexdigest()
    return json.dumps([found.st_size, found.st_mtime_ns, head, options], sort_keys=True)


class Ledger:
    """`progress.json` and `problems.jsonl` in a folder.

    Problems are written before the progress that counts them; what a kill leaves beyond that is cut off.
    """

    def __init__(self, folder: Path, source: str) -> None:
        """source: an import of another source, or one that was finished, begins anew. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self.problems = folder / "problems.jsonl"
        self._path = folder / "progress.json"
        self._source = source
        self.records = 0
        """How many from the start are finished, well or badly."""
        self.counts: Counter[str] = Counter()
        self._size = 0
        known = json.loads(self._path.read_text()) if self._path.exists() else {}
        if known.get("source") == source and not known["finished"]:
            self.records, self._size = known["records"], known["problem_bytes"]
            self.counts.update(known["counts"])
        with self.problems.open("ab") as file:
            file.truncate(self._size)

    def add(self, records: int, counts: Mapping[str, int], problems: Sequence[Problem]) -> None:
        """So many more records are finished."""
        with self.problems.open("ab") as file:
            file.writelines(json.dumps(asdict(problem), ensure_ascii=False).encode() + b"\n" for problem in problems)
            self._size = file.tell()
        self.records += records
        self.counts.update(counts)
        self._write(finished=False)

    def finish(self) -> None:
        """All records are."""
        self._write(finished=True)

    def _write(self, *, finished: bool) -> None:
        state = {
            "source": self._source,
            "records": self.records,
            "problem_bytes": self._size,
            "counts": dict(sorted(self.counts.items())),
            "finished": finished,
        }
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(state, indent=1))
        part.replace(self._path)

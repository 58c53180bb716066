"""Proposals: what a job would change, how sure it is, and what it goes by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pyarrow as pa

Kind = Literal["duplicate", "noise", "merge", "box", "link"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
PROPOSALS: Final = "proposals"
"""The stage of a job whose parts are proposals."""
_SCHEMA: Final = pa.schema(
    [("kind", pa.string()), ("subject", pa.string()), ("score", pa.float64()), ("evidence", pa.string())]
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change that may be accepted or rejected."""

    kind: Kind
    subject: Mapping[str, Any]
    """What would change, in ids only: two proposals with the same kind and subject are the same question."""
    score: float
    """How sure the job is, 0 to 1."""
    evidence: Mapping[str, Any]
    """What it goes by: where the pictures are, distances, counts."""

    @property
    def proposal_id(self) -> str:
        """The same for the same question."""
        return hashlib.sha256(f"{self.kind}\0{_canonical(self.subject)}".encode()).hexdigest()[:32]


def proposals_table(proposals: Iterable[Proposal]) -> pa.Table:
    """As a job's part."""
    rows = [
        {"kind": each.kind, "subject": _canonical(each.subject), "score": each.score}
        | {"evidence": _canonical(each.evidence)}
        for each in proposals
    ]
    return pa.Table.from_pylist(rows, _SCHEMA)


def read_proposals(table: pa.Table) -> Iterator[Proposal]:
    """From a job's part."""
    for row in table.to_pylist():
        yield Proposal(row["kind"], json.loads(row["subject"]), row["score"], json.loads(row["evidence"]))


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

"""The queue of proposals: SQLite or PostgreSQL. The command reads it, and so will any other desk.

A question is asked once: proposed again while it is open, it takes the newer score and evidence; once it is decided,
it stays so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Any, Final, Literal, Self

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Float,
    Index,
    MetaData,
    Row,
    String,
    Table,
    create_engine,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from offline.review.proposals import Kind, Proposal

State = Literal["open", "accepted", "rejected"]

_METADATA: Final = MetaData()
_PROPOSALS: Final = Table(
    "proposals",
    _METADATA,
    Column("proposal_id", String(32), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("subject", JSON, nullable=False),
    Column("score", Float, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("source", String(200), nullable=False),
    Column("state", String(10), nullable=False),
    Column("decided_by", String(200), nullable=False),
    Column("note", String(2000), nullable=False),
    Column("decided", DateTime(timezone=True)),
    Column("applied", DateTime(timezone=True)),
    Index("proposals_by_state", "state", "kind", "score", "proposal_id"),
)
_AT_ONCE: Final = 500


class UnknownProposalError(Exception):
    """There is no such proposal."""


class DecidedError(Exception):
    """The proposal was decided otherwise before."""


@dataclass(frozen=True, slots=True)
class Question:
    """A proposal in the queue."""

    proposal: Proposal
    source: str
    """The job that made it."""
    state: State
    decided_by: str
    """A person, or the rule that decides without one. Empty while it is open."""
    note: str
    decided: datetime | None
    applied: datetime | None
    """When the catalogue was changed accordingly."""


class ReviewQueue:
    """Any number of processes may use one at the same time. Use as a context manager."""

    def __init__(self, url: str) -> None:
        """url: of SQLAlchemy, such as sqlite:///review.sqlite or postgresql+psycopg://..."""
        self._engine = create_engine(url)
        _METADATA.create_all(self._engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def add(self, proposals: Iterable[Proposal], source: str) -> int:
        """Adds proposals; returns how many are new."""
        before, rest = self.count(), iter(proposals)
        insert = sqlite_insert if self._engine.dialect.name == "sqlite" else postgresql_insert
        while chunk := list(islice(rest, _AT_ONCE)):
            # One statement cannot touch a row twice.
            rows = {each.proposal_id: _row(each, source) for each in chunk}
            statement = insert(_PROPOSALS).values(list(rows.values()))
            newer = {name: statement.excluded[name] for name in ("score", "evidence", "source")}
            with self._engine.begin() as connection:
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["proposal_id"], set_=newer, where=_PROPOSALS.c.state == "open"
                    )
                )
        return self.count() - before

    def count(self, state: State | None = None, kind: Kind | None = None) -> int:
        """How many proposals there are."""
        with self._engine.connect() as connection:
            statement = select(func.count()).select_from(_PROPOSALS).where(*_matching(state, kind))
            return int(connection.execute(statement).scalar_one())

    def get(self, proposal_id: str) -> Question:
        """Raises UnknownProposalError."""
        with self._engine.connect() as connection:
            row = connection.execute(select(_PROPOSALS).where(_PROPOSALS.c.proposal_id == proposal_id)).one_or_none()
        if row is None:
            msg = f"there is no proposal {proposal_id!r}"
            raise UnknownProposalError(msg)
        return _question(row)

    def rejected(self, proposal_ids: Iterable[str]) -> frozenset[str]:
        """Those of these proposals that somebody has rejected."""
        ids, found = iter(proposal_ids), set[str]()
        with self._engine.connect() as connection:
            while chunk := list(islice(ids, _AT_ONCE)):
                mine = _PROPOSALS.c.proposal_id.in_(chunk) & (_PROPOSALS.c.state == "rejected")
                found.update(connection.execute(select(_PROPOSALS.c.proposal_id).where(mine)).scalars())
        return frozenset(found)

    def find(
        self, state: State | None = None, kind: Kind | None = None, *, limit: int, offset: int = 0
    ) -> list[Question]:
        """Proposals, the surest first."""
        statement = (
            select(_PROPOSALS)
            .where(*_matching(state, kind))
            .order_by(_PROPOSALS.c.score.desc(), _PROPOSALS.c.proposal_id)
            .limit(limit)
            .offset(offset)
        )
        with self._engine.connect() as connection:
            return [_question(row) for row in connection.execute(statement)]

    def decide(self, proposal_id: str, *, accept: bool, by: str, note: str = "") -> Question:
        """Decides a question; to decide it again in the same way changes nothing.

        Raises UnknownProposalError; DecidedError if it was decided otherwise before.
        """
        state = "accepted" if accept else "rejected"
        values = {"state": state, "decided_by": by, "note": note, "decided": datetime.now(UTC)}
        mine = (_PROPOSALS.c.proposal_id == proposal_id) & (_PROPOSALS.c.state == "open")
        with self._engine.begin() as connection:
            connection.execute(update(_PROPOSALS).where(mine).values(values))
        question = self.get(proposal_id)
        if question.state != state:
            msg = f"{proposal_id} was {question.state} by {question.decided_by} before"
            raise DecidedError(msg)
        return question

    def accept_above(self, score: float, kind: Kind) -> int:
        """Accepts the open proposals of a kind that are as sure as this; returns how many."""
        rule = f"rule: {kind} with a score of at least {score:g}"
        values = {"state": "accepted", "decided_by": rule, "decided": datetime.now(UTC)}
        with self._engine.begin() as connection:
            statement = update(_PROPOSALS).where(*_matching("open", kind), _PROPOSALS.c.score >= score)
            return connection.execute(statement.values(values)).rowcount

    def to_apply(self, limit: int) -> list[Question]:
        """Accepted proposals that the catalogue does not know of yet."""
        statement = (
            select(_PROPOSALS)
            .where(_PROPOSALS.c.state == "accepted", _PROPOSALS.c.applied.is_(None))
            .order_by(_PROPOSALS.c.proposal_id)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [_question(row) for row in connection.execute(statement)]

    def mark_applied(self, proposal_ids: Iterable[str]) -> None:
        """Notes that the catalogue has been changed."""
        with self._engine.begin() as connection:
            statement = update(_PROPOSALS).where(_PROPOSALS.c.proposal_id.in_(list(proposal_ids)))
            connection.execute(statement.values(applied=datetime.now(UTC)))


def _matching(state: State | None, kind: Kind | None) -> list[Any]:
    given = ((_PROPOSALS.c.state, state), (_PROPOSALS.c.kind, kind))
    return [column == value for column, value in given if value is not None]


def _row(proposal: Proposal, source: str) -> dict[str, Any]:
    return {
        "proposal_id": proposal.proposal_id,
        "kind": proposal.kind,
        "subject": dict(proposal.subject),
        "score": proposal.score,
        "evidence": dict(proposal.evidence),
        "source": source,
        "state": "open",
        "decided_by": "",
        "note": "",
    }


def _question(row: Row[Any]) -> Question:
    proposal = Proposal(row.kind, row.subject, row.score, row.evidence)
    return Question(proposal, row.source, row.state, row.decided_by, row.note, row.decided, row.applied)

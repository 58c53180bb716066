"""The queue of proposals: what jobs would change, and what people say to it."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from offline.jobs.settings import JobSettings
from offline.review.proposals import KINDS, Kind
from offline.review.queue import DecidedError, Question, ReviewQueue, State, UnknownProposalError
from shiwu.cli.connection import InputError

STATES: Sequence[State] = ("open", "accepted", "rejected")


def show_all(state: str, kind: str | None, limit: int) -> None:
    """Prints proposals, the surest first."""
    with _queue() as queue:
        chosen, of_kind = _state(state), None if kind is None else _kind(kind)
        table = Table("proposal", "kind", "score", "subject", "evidence", "decided by")
        for question in queue.find(chosen, of_kind, limit=limit):
            proposal = question.proposal
            score = f"{proposal.score:.2f}"
            words = _words(proposal.subject), _words(proposal.evidence)
            table.add_row(proposal.proposal_id, proposal.kind, score, *words, question.decided_by)
        Console().print(table)
        Console().print(f"{queue.count(chosen, of_kind):,} {state}")


def show(proposal_id: str) -> None:
    """Prints all that is known of a proposal, as JSON."""
    with _queue() as queue:
        question = queue.get(proposal_id)
        proposal = question.proposal
        fields = {"kind": proposal.kind, "subject": proposal.subject, "score": proposal.score}
        decision = {"evidence": proposal.evidence, "source": question.source, "state": question.state}
        said = {"decided_by": question.decided_by, "note": question.note, "decided": _said(question)}
        Console().print_json(json.dumps({"proposal_id": proposal_id, **fields, **decision, **said}))


def decide(proposal_ids: Sequence[str], note: str, *, accept: bool) -> None:
    """Accepts or rejects proposals, in the name of the user."""
    with _queue() as queue:
        for proposal_id in proposal_ids:
            queue.decide(proposal_id, accept=accept, by=getpass.getuser(), note=note)


def accept_above(score: float, kind: str) -> None:
    """Accepts all open proposals of a kind that are as sure as this."""
    with _queue() as queue:
        Console().print(f"{queue.accept_above(score, _kind(kind)):,} accepted")


@contextmanager
def _queue() -> Iterator[ReviewQueue]:
    settings = JobSettings()
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        with ReviewQueue(settings.review) as queue:
            yield queue
    except (UnknownProposalError, DecidedError) as error:
        raise InputError(str(error)) from error


def _kind(kind: str) -> Kind:
    if kind not in KINDS:
        msg = f"there is no kind {kind!r} of proposals; expected {', '.join(KINDS)}"
        raise InputError(msg)
    return kind


def _state(state: str) -> State:
    if state not in STATES:
        msg = f"{state!r} is no state of a proposal; expected {', '.join(STATES)}"
        raise InputError(msg)
    return cast(State, state)


def _words(values: Any) -> str:
    return "\n".join(f"{name}: {value}" for name, value in values.items())


def _said(question: Question) -> str | None:
    return question.decided.isoformat() if question.decided else None

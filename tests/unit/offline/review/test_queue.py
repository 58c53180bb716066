"""The queue of proposals, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from evaluation.postgres_server import running_postgres
from offline.review.proposals import Proposal, proposals_table, read_proposals
from offline.review.queue import DecidedError, ReviewQueue, UnknownProposalError


@pytest.fixture(scope="module")
def postgres():
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'review.sqlite'}"
    return request.getfixturevalue("postgres").create_database()


@pytest.fixture
def queue(url):
    with ReviewQueue(url) as queue:
        yield queue


def noise(image, score=0.5, **evidence):
    return Proposal("noise", {"image_id": image, "product_id": "鞋"}, score, evidence or {"distance": 0.5})


def test_the_surest_come_first(queue):
    assert queue.add([noise("a", 0.4), noise("b", 0.9), noise("c", 0.6)], "job-1") == 3
    assert [question.proposal.subject["image_id"] for question in queue.find("open", limit=2)] == ["b", "c"]
    assert [question.proposal.subject["image_id"] for question in queue.find("open", limit=9, offset=2)] == ["a"]
    assert queue.find("open", "merge", limit=9) == []
    assert (queue.count(), queue.count("open", "noise"), queue.count("accepted")) == (3, 3, 0)


def test_an_open_question_takes_newer_evidence_and_a_decided_one_is_not_asked_again(queue):
    queue.add([noise("a"), noise("b")], "job-1")
    queue.decide(noise("a").proposal_id, accept=False, by="mei", note="that is its sole")
    assert queue.add([noise("a", 0.9, distance=0.9), noise("b", 0.9, distance=0.9), noise("c")], "job-2") == 1
    decided, still_open = queue.get(noise("a").proposal_id), queue.get(noise("b").proposal_id)
    assert (decided.state, decided.decided_by, decided.note) == ("rejected", "mei", "that is its sole")
    assert (decided.proposal.score, decided.source) == (0.5, "job-1")
    assert (still_open.proposal.score, still_open.proposal.evidence, still_open.source) == (
        0.9,
        {"distance": 0.9},
        "job-2",
    )
    assert queue.rejected([noise(name).proposal_id for name in "abc"]) == {noise("a").proposal_id}


def test_a_decision_stands(queue):
    queue.add([noise("a")], "job")
    question = queue.decide(noise("a").proposal_id, accept=True, by="mei")
    assert question.decided is not None
    assert queue.decide(noise("a").proposal_id, accept=True, by="jo").decided_by == "mei"
    with pytest.raises(DecidedError, match="accepted by mei before"):
        queue.decide(noise("a").proposal_id, accept=False, by="jo")
    with pytest.raises(UnknownProposalError, match="'nothing'"):
        queue.decide("nothing", accept=True, by="jo")


def test_a_rule_accepts_what_is_sure(queue):
    queue.add([noise("a", 0.4), noise("b", 0.9), noise("c", 0.9)], "job")
    queue.decide(noise("c").proposal_id, accept=False, by="mei")
    assert queue.accept_above(0.8, "noise") == 1
    assert queue.get(noise("b").proposal_id).decided_by == "rule: noise with a score of at least 0.8"
    waiting = queue.to_apply("noise", limit=10)
    assert [question.proposal for question in waiting] == [noise("b", 0.9)]
    queue.mark_applied([noise("b").proposal_id])
    assert queue.to_apply("noise", limit=10) == []


def test_the_same_question_twice_in_one_go_is_one(queue):
    assert queue.add([noise("a", 0.1), noise("a", 0.2), *(noise(f"n{i}") for i in range(1200))], "job") == 1201
    assert queue.get(noise("a").proposal_id).proposal.score == 0.2


def test_proposals_pass_through_a_jobs_parts():
    given = [noise("a", 0.25, uri="图.jpg"), Proposal("merge", {"product_ids": ["b", "a"]}, 1.0, {})]
    assert list(read_proposals(proposals_table(given))) == given


def test_the_order_of_a_subjects_keys_does_not_matter():
    assert (
        Proposal("noise", {"a": 1, "b": 2}, 0, {}).proposal_id == Proposal("noise", {"b": 2, "a": 1}, 1, {}).proposal_id
    )

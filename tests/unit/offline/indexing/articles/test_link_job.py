from __future__ import annotations

import asyncio
import json
import sys

import pytest

from offline.indexing.articles.link_job import link_articles
from offline.indexing.articles.linking import read_rule
from offline.review.proposals import Proposal
from offline.review.queue import ReviewQueue
from services.catalog.resources import Article, Product
from tests.unit.offline.indexing.articles.test_importing import ROOT


@pytest.fixture
async def stocked(store):
    """Two cameras, a laptop, apples; articles about some of them."""
    for product in (
        Product("camera", "Instant Camera", "appliances", brand="Polaroid", description="It prints its pictures."),
        Product("lens", "Camera Lens", "appliances", brand="Nikon", description="A lens of glass."),
        Product("laptop", "Laptop", "appliances", brand="Apple", description="A fast computer."),
        Product("fruit", "Fuji Apples", "food", description="Sweet fruit."),
    ):
        await store.create_product(product)
    for article in (
        Article("instant", "Instant camera", "An instant camera is a camera that prints its pictures."),
        Article("apple", "Apple Inc.", "Apple Inc. is an American technology company known for laptops."),
        Article("contact", "Contact lens", "A contact lens is a thin lens of glass on the eye."),
        Article("said", "Cameras", "A camera is an instrument for pictures.", product_ids=("lens",)),
        Article("stale", "Zebra", product_ids=("fruit", "laptop"), product_scores=(0.7, 1.0)),
    ):
        await store.create_article(article)
    return store


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def test_likely_links_are_written_doubtful_ones_proposed_and_what_people_said_stays(catalogue, stocked, tmp_path):
    counts = await link_articles(catalogue, tmp_path, read_rule())
    instant = await stocked.get_article("instant")
    assert instant.product_ids == ("camera",)
    assert read_rule().accept <= instant.product_scores[0] < 1
    said = await stocked.get_article("said")
    assert said.product_ids[0] == "lens"
    assert not said.product_scores or said.product_scores[0] == 1
    assert (await stocked.get_article("apple")).product_ids == ()
    stale = await stocked.get_article("stale")
    assert (stale.product_ids, stale.product_scores) == (("laptop",), ())
    links, proposals = lines(tmp_path / "links.jsonl"), lines(tmp_path / "proposals.jsonl")
    (link,) = [each for each in links if each["article_id"] == "instant"]
    assert link["score"] == pytest.approx(instant.product_scores[0])
    assert link["reasons"]["head"] > 0
    assert ("contact", "lens") in [tuple(each["subject"].values()) for each in proposals]
    assert (await stocked.get_article("contact")).product_ids == ()
    for each in proposals:
        assert each["kind"] == "link"
        assert set(each["subject"]) == {"article_id", "product_id"}
        assert read_rule().propose <= each["score"] < 1
        assert each["evidence"]["product_title"]
    assert (counts["articles"], counts["links"], counts["proposals"]) == (5, len(links), len(proposals))


async def test_a_second_run_writes_nothing_and_tells_the_same(catalogue, stocked, tmp_path):
    await link_articles(catalogue, tmp_path / "one", read_rule())
    before = await stocked.list_articles(after="", limit=10)
    counts = await link_articles(catalogue, tmp_path / "two", read_rule())
    assert counts["articles changed"] == 0
    assert await stocked.list_articles(after="", limit=10) == before
    for name in ("links.jsonl", "proposals.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


async def test_people_have_the_last_word(catalogue, stocked, tmp_path):
    rule = read_rule()
    with ReviewQueue(f"sqlite:///{tmp_path}/review.sqlite") as queue:
        await link_articles(catalogue, tmp_path, rule, queue)
        (question,) = [
            each for each in queue.find("open", "link", limit=9) if each.proposal.subject["product_id"] == "lens"
        ]
        queue.decide(question.proposal.proposal_id, accept=True, by="me")
        sure = Proposal("link", {"article_id": "instant", "product_id": "camera"}, 0.9, {})
        queue.add([sure], source="test")
        queue.decide(sure.proposal_id, accept=False, by="me")
        await link_articles(catalogue, tmp_path, rule, queue)
        contact = await stocked.get_article("contact")
        assert (contact.product_ids, contact.product_scores) == (("lens",), ())
        assert (await stocked.get_article("instant")).product_ids == ()
        assert queue.get(question.proposal.proposal_id).applied
        await stocked.update_article("contact", {"product_ids": ()})  # somebody has changed their mind
        await link_articles(catalogue, tmp_path, rule, queue)
        assert (await stocked.get_article("contact")).product_ids == ()


async def test_the_command_links_and_says_what_it_did(target, stocked, tmp_path):
    command = [sys.executable, "-m", "offline.indexing.articles", "link", "--catalog", target, "--work", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert b"5 articles" in output
    assert (await stocked.get_article("instant")).product_ids == ("camera",)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["link", "--catalog", "nonsense"], b"host:port"),
        (["import", "/no/such/file", "--catalog", "127.0.0.1:1"], b"/no/such/file"),
        (["link", "--catalog", "far.example:1", "--key-file", __file__], b"in the clear"),
    ],
)
async def test_the_command_says_what_is_wrong(arguments, complaint):
    command = [sys.executable, "-m", "offline.indexing.articles", *arguments]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert complaint in errors
    assert b"Traceback" not in errors

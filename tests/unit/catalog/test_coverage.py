"""Describe, gaps, feedback and imports on the wire."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources
from tests.unit.catalog.refusals import refused

VECTOR = np.eye(1, 8, dtype="<f4").tobytes()


def jpeg(width, height):
    return cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))[1].tobytes()


def gap(key="g", seconds=1_780_000_000, **facts):
    given = {"category": "shoes", "confidence": 0.25, "scan_time": Timestamp(seconds=seconds)} | facts
    return resources.Gap(scan_id=key, **given)


async def test_a_scan_of_the_future_is_one_of_now_or_it_would_never_be_erased(stub, service):
    await stub.RecordGap(pb.RecordGapRequest(gap=gap(seconds=250_000_000_000)))
    [kept] = await service.store.list_gaps(before=None, limit=9)
    assert abs((datetime.now(UTC) - kept.scan_time).total_seconds()) < 60


async def test_products_are_described(stub):
    await stub.CreateStyle(pb.CreateStyleRequest(style=resources.Style(style_id="s", title="R", category="shoes")))
    for key, style in (("p1", "s"), ("p2", "")):
        product = resources.Product(product_id=key, title="Running shoe", category="shoes", style_id=style)
        await stub.CreateProduct(pb.CreateProductRequest(product=product))
    for key, units, available in (("dear", 9, True), ("cheap", 2, True), ("gone", 1, False)):
        price = Money(currency_code="EUR", units=units)
        offer = resources.Offer(offer_id=key, product_id="p1", merchant="M", price=price, available=available)
        await stub.CreateOffer(pb.CreateOfferRequest(offer=offer))
    await stub.CreateArticle(pb.CreateArticleRequest(article=resources.Article(article_id="a", title="On shoes")))
    answer = await stub.Describe(pb.DescribeRequest(product_ids=["p2", "nobody", "p1"], max_articles=3))
    assert [each.product.product_id for each in answer.products] == ["p2", "p1"]
    assert not answer.products[0].HasField("style")
    assert answer.products[1].style.title == "R"
    assert [offer.offer_id for offer in answer.products[1].offers] == ["cheap", "dear", "gone"]
    assert [article.article_id for article in answer.articles] == ["a"]
    assert not (await stub.Describe(pb.DescribeRequest(product_ids=["p1"]))).articles


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.DescribeRequest(), "product_ids"),
        (pb.DescribeRequest(product_ids=["p"] * 1001), "product_ids"),
        (pb.DescribeRequest(product_ids=["p", ""]), "product_ids[1]"),
        (pb.DescribeRequest(product_ids=["p"], max_articles=-1), "max_articles"),
        (pb.DescribeRequest(product_ids=["p"], max_articles=101), "max_articles"),
    ],
)
async def test_descriptions_have_limits(stub, request_, field):
    await refused(stub.Describe(request_), "INVALID_ARGUMENT", field=field)


async def test_a_gap_is_recorded_once_and_listed_newest_first(stub):
    kept = gap("g1", crop=jpeg(320, 200), comment="what?")
    for request in (
        pb.RecordGapRequest(gap=kept, vector=VECTOR, model="m@1"),
        pb.RecordGapRequest(gap=gap("g1", category="bags")),
        pb.RecordGapRequest(gap=gap("g2", 1_790_000_000, category="bags")),
        pb.RecordGapRequest(gap=gap("g3", 1_770_000_000)),
    ):
        await stub.RecordGap(request)
    listed = await stub.ListGaps(pb.ListGapsRequest())
    assert [each.scan_id for each in listed.gaps] == ["g2", "g1", "g3"]
    as_kept = gap("g1", crop=kept.crop, comment="what?", model="m@1", demand=1, state=resources.GAP_STATE_OPEN)
    assert listed.gaps[1] == as_kept
    first = await stub.ListGaps(pb.ListGapsRequest(page_size=2))
    assert [each.scan_id for each in first.gaps] == ["g2", "g1"]
    second = await stub.ListGaps(pb.ListGapsRequest(page_size=2, page_token=first.next_page_token))
    assert ([each.scan_id for each in second.gaps], second.next_page_token) == (["g3"], "")
    bags = await stub.ListGaps(pb.ListGapsRequest(category="bags"))
    assert [each.scan_id for each in bags.gaps] == ["g2"]
    token = first.next_page_token
    await refused(
        stub.ListGaps(pb.ListGapsRequest(category="bags", page_token=token)), "INVALID_ARGUMENT", field="page_token"
    )
    await refused(stub.ListGaps(pb.ListGapsRequest(category="cars")), "INVALID_ARGUMENT", field="category")
    await refused(stub.ListGaps(pb.ListGapsRequest(page_token="W10")), "INVALID_ARGUMENT", field="page_token")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.RecordGapRequest(), "gap"),
        (pb.RecordGapRequest(gap=gap("")), "gap.scan_id"),
        (pb.RecordGapRequest(gap=gap(category="")), "gap.category"),
        (pb.RecordGapRequest(gap=gap(confidence=1.5)), "gap.confidence"),
        (pb.RecordGapRequest(gap=gap(confidence=-0.1)), "gap.confidence"),
        (pb.RecordGapRequest(gap=gap(confidence=math.nan)), "gap.confidence"),
        (pb.RecordGapRequest(gap=resources.Gap(scan_id="g", category="shoes")), "scan_time"),
        (pb.RecordGapRequest(gap=gap(seconds=2**60)), "gap.scan_time"),
        (pb.RecordGapRequest(gap=gap(comment="x" * 2001)), "gap.comment"),
        (pb.RecordGapRequest(gap=gap(crop=b"text")), "gap.crop"),
        (pb.RecordGapRequest(gap=gap(crop=jpeg(321, 10))), "gap.crop"),
        (pb.RecordGapRequest(gap=gap(crop=jpeg(8, 8) + bytes(1 << 20))), "gap.crop"),
        (pb.RecordGapRequest(gap=gap(refused_product_id="a b")), "gap.refused_product_id"),
        (pb.RecordGapRequest(gap=gap(), vector=VECTOR), "model"),
        (pb.RecordGapRequest(gap=gap(), model="m@1"), "vector"),
        (pb.RecordGapRequest(gap=gap(), model="m@1", vector=b"abc"), "vector"),
        (pb.RecordGapRequest(gap=gap(), model="m@1", vector=VECTOR + b"abc"), "vector"),
        (pb.RecordGapRequest(gap=gap(), model="m@1", vector=bytes(32)), "vector"),
        (pb.RecordGapRequest(gap=gap(), model="m@1", vector=np.full(4, np.nan, "<f4").tobytes()), "vector"),
    ],
)
async def test_gaps_are_checked(stub, request_, field):
    await refused(stub.RecordGap(request_), "INVALID_ARGUMENT", field=field)
    assert not (await stub.ListGaps(pb.ListGapsRequest())).gaps


async def test_gaps_are_clustered_replayed_and_counted(stub):
    product = resources.Product(product_id="p", title="Shoe", category="shoes")
    await stub.CreateProduct(pb.CreateProductRequest(product=product))
    for second, key in enumerate(("g1", "g2", "g3")):
        kept = gap(key, 1_780_000_000 + second, refused_product_id="r" if key == "g3" else "")
        await stub.RecordGap(pb.RecordGapRequest(gap=kept, vector=VECTOR, model="m@1"))
    clustered = [pb.ClusteredGap(scan_id=key, cluster_id="g1") for key in ("g1", "g2")]
    await stub.ClusterGaps(pb.ClusterGapsRequest(gaps=clustered))
    searched = Timestamp(seconds=1_780_000_100)
    replayed = [
        pb.ReplayedGap(scan_id="g1", product_id="p", found=True, confidence=0.75, model="m@1", index_time=searched),
        pb.ReplayedGap(scan_id="g3", product_id="p", confidence=0.25, model="m@1"),
    ]
    await stub.RecordReplays(pb.RecordReplaysRequest(replay_id="run-1", gaps=replayed))
    await stub.RecordFeedback(
        pb.RecordFeedbackRequest(scan_id="g3", verdict=resources.VERDICT_WRONG, product_id="said")
    )

    mask = {"paths": ["scan_id", "cluster_id", "demand"]}
    ranked = await stub.ListGaps(pb.ListGapsRequest(order_by="demand desc", read_mask=mask))
    assert list(ranked.gaps) == [
        resources.Gap(scan_id="g3", demand=1),
        resources.Gap(scan_id="g2", cluster_id="g1", demand=1),
        resources.Gap(scan_id="g1", cluster_id="g1", demand=1),
    ]
    [closed] = (await stub.ListGaps(pb.ListGapsRequest(state=resources.GAP_STATE_CLOSED))).gaps
    told = closed.replay
    assert (closed.scan_id, told.replay_id, told.product_id, told.index_time) == ("g1", "run-1", "p", searched)
    assert told.HasField("replay_time")
    opened = (
        await stub.ListGaps(pb.ListGapsRequest(state=resources.GAP_STATE_OPEN, read_mask={"paths": ["vector"]}))
    ).gaps
    assert [each.vector for each in opened] == [VECTOR, VECTOR]
    [of_cluster] = (await stub.ListGaps(pb.ListGapsRequest(cluster_id="g1", page_size=1))).gaps
    assert of_cluster.scan_id == "g2"
    refused_one = (await stub.ListGaps(pb.ListGapsRequest())).gaps[0]
    assert (refused_one.refused_product_id, refused_one.said_product_id) == ("r", "said")
    assert refused_one.verdict == resources.VERDICT_WRONG
    assert not refused_one.replay.HasField("index_time")

    [row] = (await stub.ListCoverage(pb.ListCoverageRequest())).coverage
    assert (row.replay_id, row.category, row.gaps, row.without_crop) == ("run-1", "shoes", 3, 3)
    assert (row.replayed, row.found, row.closed) == (2, 1, 1)
    assert not (await stub.ListCoverage(pb.ListCoverageRequest(category="bags"))).coverage


async def test_lists_by_demand_and_of_coverage_go_on_from_their_tokens(stub):
    for key, category in (("g1", "shoes"), ("g2", "bags"), ("g3", "toys")):
        await stub.RecordGap(pb.RecordGapRequest(gap=gap(key, category=category)))
    await stub.RecordReplays(pb.RecordReplaysRequest(replay_id="run-1"))
    for method, kind, field in (
        (stub.ListGaps, pb.ListGapsRequest(order_by="demand desc", page_size=1), "gaps"),
        (stub.ListCoverage, pb.ListCoverageRequest(page_size=1), "coverage"),
    ):
        categories = []
        while True:
            page = await method(kind)
            categories += [each.category for each in getattr(page, field)]
            if not page.next_page_token:
                break
            kind.page_token = page.next_page_token
        assert sorted(categories) == ["bags", "shoes", "toys"]


def replayed(**facts):
    return pb.RecordReplaysRequest(replay_id="r", gaps=[pb.ReplayedGap(**({"scan_id": "g"} | facts))])


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("ListGaps", pb.ListGapsRequest(state=7), "state"),
        ("ListGaps", pb.ListGapsRequest(order_by="demand"), "order_by"),
        ("ListGaps", pb.ListGapsRequest(cluster_id="a b"), "cluster_id"),
        ("ListGaps", pb.ListGapsRequest(read_mask={"paths": ["scan_id", "photo"]}), "read_mask"),
        ("ClusterGaps", pb.ClusterGapsRequest(), "gaps"),
        ("ClusterGaps", pb.ClusterGapsRequest(gaps=[pb.ClusteredGap()]), "gaps[0].scan_id"),
        (
            "ClusterGaps",
            pb.ClusterGapsRequest(gaps=[pb.ClusteredGap(scan_id="g", cluster_id=" ")]),
            "gaps[0].cluster_id",
        ),
        ("ClusterGaps", pb.ClusterGapsRequest(gaps=[pb.ClusteredGap(scan_id="g")] * 2), "gaps"),
        ("ClusterGaps", pb.ClusterGapsRequest(gaps=[pb.ClusteredGap(scan_id=str(i)) for i in range(1001)]), "gaps"),
        ("RecordReplays", pb.RecordReplaysRequest(), "replay_id"),
        ("RecordReplays", replayed(scan_id=""), "gaps[0].scan_id"),
        ("RecordReplays", replayed(found=True), "gaps[0].product_id"),
        ("RecordReplays", replayed(product_id="a b"), "gaps[0].product_id"),
        ("RecordReplays", replayed(confidence=2.0), "gaps[0].confidence"),
        ("RecordReplays", replayed(model="x" * 201), "gaps[0].model"),
        ("RecordReplays", replayed(index_time=Timestamp(seconds=2**60)), "gaps[0].index_time"),
        ("ListCoverage", pb.ListCoverageRequest(category="cars"), "category"),
        ("ListCoverage", pb.ListCoverageRequest(page_token="W10"), "page_token"),
    ],
)
async def test_what_is_said_of_gaps_is_checked(stub, method, request_, field):
    await refused(getattr(stub, method)(request_), "INVALID_ARGUMENT", field=field)


async def test_the_last_word_on_a_scan_counts(stub):
    await stub.RecordGap(pb.RecordGapRequest(gap=gap("g")))
    for comment in ("a cup", "a teapot"):
        await stub.RecordFeedback(
            pb.RecordFeedbackRequest(scan_id="g", verdict=resources.VERDICT_WRONG, product_id="x", comment=comment)
        )
    assert [each.comment for each in (await stub.ListGaps(pb.ListGapsRequest())).gaps] == ["a teapot"]


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"scan_id": ""}, "scan_id"),
        ({"verdict": resources.VERDICT_UNSPECIFIED}, "verdict"),
        ({"verdict": 77}, "verdict"),
        ({"product_id": "a b"}, "product_id"),
        ({"comment": "x" * 2001}, "comment"),
    ],
)
async def test_feedback_is_checked(stub, facts, field):
    request = pb.RecordFeedbackRequest(**({"scan_id": "g", "verdict": resources.VERDICT_RIGHT} | facts))
    await refused(stub.RecordFeedback(request), "INVALID_ARGUMENT", field=field)


async def test_a_feed_is_imported(service, photo):
    folder = service.path.parent
    (folder / "a.jpg").write_bytes(photo)
    (folder / "feed.csv").write_text(
        "product_id,title,category,merchant,price,images\np1,Shoe,shoes,M,3 EUR,a.jpg\np2,Shoe,cars,M,3 EUR,a.jpg\n"
    )
    request = pb.ImportProductsRequest(feed_uri=str(folder / "feed.csv"))
    operation = await service.stub.ImportProducts(request)
    assert operation.name.startswith("operations/")
    wait = operations_pb2.WaitOperationRequest(name=operation.name, timeout=Duration(seconds=20))
    done = await service.operations.WaitOperation(wait)
    assert done.done
    response = pb.ImportProductsResponse()
    assert done.response.Unpack(response)
    assert (response.rows_total, response.rows_failed, response.products_written, response.images_indexed) == (
        2,
        1,
        1,
        1,
    )
    described = await service.stub.Describe(pb.DescribeRequest(product_ids=["p1"]))
    assert described.products[0].offers[0].price == Money(currency_code="EUR", units=3)
    assert len(service.peers.search.records) == 1


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ImportProductsRequest(), "feed_uri"),
        (pb.ImportProductsRequest(feed_uri="/etc/passwd"), "feed_uri"),
        (pb.ImportProductsRequest(feed_uri="x.csv", format=9), "format"),
        (pb.ImportProductsRequest(feed_uri="x.csv", default_merchant="x" * 201), "default_merchant"),
    ],
)
async def test_feeds_are_checked(stub, request_, field):
    await refused(stub.ImportProducts(request_), "INVALID_ARGUMENT", field=field)

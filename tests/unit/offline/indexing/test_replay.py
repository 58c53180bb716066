"""Replays against a gateway and a catalogue of a few lines, over real gRPC."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import grpc
import numpy as np
import pytest
from google.protobuf.empty_pb2 import Empty

from offline.indexing.replay import ReplaySettings, cluster, judged, replay
from shiwu.v1 import catalog_pb2, gateway_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceServicer, CatalogServiceStub, add_CatalogServiceServicer_to_server
from shiwu.v1.catalog_resources_pb2 import GAP_STATE_CLOSED, GAP_STATE_OPEN, Gap, Product, Replay, Style
from shiwu.v1.gateway_pb2_grpc import GatewayServiceServicer, GatewayServiceStub, add_GatewayServiceServicer_to_server

QUICK = ReplaySettings(wait_seconds=0.01, attempts=3, page=2)
MATCHED, NOTHING = gateway_pb2.OUTCOME_MATCHED, gateway_pb2.OUTCOME_NOT_IN_CATALOGUE


def answer(outcome, *products, confidence=0.75):
    matches = [gateway_pb2.ProductMatch(product=Product(product_id=key)) for key in products]
    styles = [gateway_pb2.StyleMatch(style=Style(), products=matches)] if products else []
    told = gateway_pb2.ScanResponse(outcome=outcome, confidence=confidence, styles=styles)
    told.versions.embedder = "m@1"
    told.versions.index_time.FromJsonString("2026-01-01T00:00:00Z")
    return told


class Catalog(CatalogServiceServicer):
    """Keeps gaps in a list."""

    def __init__(self):
        self.gaps, self.replays = [], []

    def ListGaps(self, request, context):
        gaps = [gap for gap in self.gaps if not request.state or gap.state == request.state]
        start = int(request.page_token or 0)
        end = start + request.page_size
        return catalog_pb2.ListGapsResponse(gaps=gaps[start:end], next_page_token=str(end) if end < len(gaps) else "")

    def RecordReplays(self, request, context):
        self.replays.append({gap.scan_id: gap for gap in request.gaps})
        return Empty()

    def ClusterGaps(self, request, context):
        for told in request.gaps:
            next(gap for gap in self.gaps if gap.scan_id == told.scan_id).cluster_id = told.cluster_id
        return Empty()


class Gateway(GatewayServiceServicer):
    """Answers by the crop's bytes; a status stands for itself, and a list is gone through."""

    def __init__(self):
        self.answers, self.requests = {}, []

    def Scan(self, request, context):
        self.requests.append(request)
        told = self.answers[request.image.encoded]
        told = told.pop(0) if isinstance(told, list) else told
        if isinstance(told, grpc.StatusCode):
            context.abort(told, "no")
        return told


@pytest.fixture
def parts():
    catalog, gateway = Catalog(), Gateway()
    server = grpc.server(ThreadPoolExecutor(4))
    add_CatalogServiceServicer_to_server(catalog, server)
    add_GatewayServiceServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield catalog, gateway, CatalogServiceStub(channel), GatewayServiceStub(channel)
    server.stop(0)


def gap(key, category="shoes", crop=True, **facts):
    return Gap(scan_id=key, category=category, state=GAP_STATE_OPEN, crop=key.encode() if crop else b"", **facts)


def test_every_result_is_counted_and_only_what_was_decided_is_recorded(parts):
    catalog, gateway, *stubs = parts
    keys = ("found", "lacking", "lossy", "bad", "down")
    catalog.gaps = [*map(gap, keys), gap("gone", "bags", crop=False), gap("slow", "bags")]
    gateway.answers = {
        b"found": answer(MATCHED, "p"),
        b"lacking": answer(NOTHING, "q", confidence=0.2),
        b"lossy": answer(gateway_pb2.OUTCOME_UNDECIDED),
        b"bad": grpc.StatusCode.INVALID_ARGUMENT,
        b"down": grpc.StatusCode.UNAVAILABLE,
        b"slow": [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED, answer(NOTHING)],
    }
    seen = []
    settings = QUICK.model_copy(update={"page": 100})
    counts = replay(*stubs, "r1", settings, lambda done, total: seen.append((done, total)))
    assert counts == {
        ("shoes", "closed"): 1, ("shoes", "open"): 1, ("shoes", "undecided"): 1, ("shoes", "unreadable"): 1,
        ("shoes", "unanswered"): 1, ("bags", "without crop"): 1, ("bags", "open"): 1,
    }  # fmt: skip
    assert seen == [(7, 7)]
    told, last = catalog.replays
    assert set(told) == {"found", "lacking", "slow"}
    assert last == {}, "counts are brought up to date even where nothing was replayed"
    assert (told["found"].product_id, told["found"].found, told["found"].model) == ("p", True, "m@1")
    assert told["found"].index_time.ToDatetime(UTC) == datetime(2026, 1, 1, tzinfo=UTC)
    assert (told["lacking"].product_id, told["lacking"].found) == ("q", False)
    assert told["lacking"].confidence == pytest.approx(0.2)


def test_replays_are_scans_of_nobody_of_the_whole_crop(parts):
    catalog, gateway, *stubs = parts
    catalog.gaps, gateway.answers = [gap("a")], {b"a": answer(NOTHING)}
    replay(*stubs, "r1", QUICK)
    [request] = gateway.requests
    assert request.synthetic
    assert (request.focus.x_min, request.focus.y_min, request.focus.x_max, request.focus.y_max) == (0, 0, 1, 1)


def test_a_run_that_goes_on_leaves_out_what_it_has_replayed_and_closed_gaps_wait_to_be_asked_for(parts):
    catalog, gateway, *stubs = parts
    closed = gap("closed")
    closed.state = GAP_STATE_CLOSED
    catalog.gaps = [gap("done", replay=Replay(replay_id="r1")), gap("older", replay=Replay(replay_id="r0")), closed]
    gateway.answers = dict.fromkeys((b"done", b"older", b"closed"), answer(NOTHING))
    replay(*stubs, "r1", QUICK)
    assert [request.image.encoded for request in gateway.requests] == [b"older"]
    replay(*stubs, "r2", QUICK.model_copy(update={"closed_too": True}))
    assert sorted(request.image.encoded for request in gateway.requests[1:]) == [b"closed", b"done", b"older"]


def test_a_gateway_that_answers_nothing_ends_the_run_at_the_first_page(parts):
    catalog, gateway, *stubs = parts
    catalog.gaps = [gap(f"g{i}") for i in range(20)]
    gateway.answers = {f"g{i}".encode(): grpc.StatusCode.UNAVAILABLE for i in range(20)}
    with pytest.raises(grpc.RpcError) as error:
        replay(*stubs, "r1", QUICK)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert len(gateway.requests) == QUICK.page * QUICK.attempts


def test_a_refusal_that_waiting_does_not_change_ends_the_run(parts):
    catalog, gateway, *stubs = parts
    catalog.gaps, gateway.answers = [gap("a")], {b"a": grpc.StatusCode.PERMISSION_DENIED}
    with pytest.raises(grpc.RpcError) as error:
        replay(*stubs, "r1", QUICK)
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("facts", "answer_", "product_id", "found"),
    [
        ({}, answer(MATCHED, "p", "q"), "p", True),
        ({}, answer(NOTHING, "p"), "p", False),
        ({}, answer(NOTHING), "", False),
        ({"refused_product_id": "p"}, answer(MATCHED, "p", "q"), "p", False),
        ({"refused_product_id": "q"}, answer(MATCHED, "p", "q"), "p", True),
        ({"said_product_id": "q"}, answer(MATCHED, "p", "q"), "q", True),
        ({"said_product_id": "z"}, answer(MATCHED, "p", "q"), "p", False),
        ({"said_product_id": "p"}, answer(NOTHING, "p"), "p", False),
        ({"said_product_id": "q", "refused_product_id": "p"}, answer(MATCHED, "p", "q"), "q", True),
    ],
)
def test_what_closes_a_gap(facts, answer_, product_id, found):
    told = judged(gap("g", **facts), answer_)
    assert (told.product_id, told.found) == (product_id, found)


def test_clusters_are_written_where_they_change(parts):
    catalog, _, stub, _ = parts
    one, other = np.eye(2, 8, dtype="<f4")
    for key, vector, cluster_id in (("a", one, ""), ("b", other, "b"), ("c", one, "old")):
        kept = gap(key, vector=vector.tobytes(), model="m@1", cluster_id=cluster_id)
        kept.scan_time.FromJsonString(f"2026-01-01T00:00:0{ord(key) - ord('a')}Z")
        catalog.gaps.append(kept)
    catalog.gaps.append(gap("d"))
    assert cluster(stub) == 2
    assert {each.scan_id: each.cluster_id for each in catalog.gaps} == {"a": "a", "b": "b", "c": "a", "d": ""}

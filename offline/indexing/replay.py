"""Gaps against the catalogue as it is now: which of them ask for the same thing, and which scans find it by now.

A replay scans a gap's crop again, through the gateway, pointing at all of it, and for nobody (`synthetic`): it leaves
no gap and is no demand. What it came to is recorded by pages, so a run that was killed goes on under its own name.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from functools import partial
from typing import Final, Literal, TypeVar

import grpc
import numpy as np
from google.protobuf.field_mask_pb2 import FieldMask
from pydantic import BaseModel, ConfigDict, Field

from offline.indexing.demand import EPS, GapVector, demand_clusters
from shiwu.v1 import catalog_pb2, gateway_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import GAP_STATE_OPEN, GAP_STATE_UNSPECIFIED, Gap, GapState
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Box, Image

T = TypeVar("T")
Result = Literal["closed", "open", "without crop", "undecided", "unreadable", "unanswered"]
"""undecided: too much was missing from the answer. unreadable: the gateway refuses the crop. Of these last four nothing
is recorded."""
Counts = Counter[tuple[str, Result]]
"""By category and result."""

_TIMEOUT: Final = 60.0
_PAGE: Final = 1000
_WHOLE: Final = Box(x_min=0.0, y_min=0.0, x_max=1.0, y_max=1.0)
_LATER: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


class ReplaySettings(BaseModel):
    """How gaps are replayed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_once: int = Field(2, ge=1)
    """Scans at a time: the gateway is there for people."""
    scan_seconds: float = Field(20.0, gt=0.0)
    attempts: int = Field(5, ge=1)
    """For a scan that the gateway refuses, or that it does not answer."""
    wait_seconds: float = Field(0.5, ge=0.0)
    """Before the second attempt; twice as long before each further one."""
    page: int = Field(100, ge=1, le=1000)
    """Gaps whose results are recorded together."""
    closed_too: bool = False
    """Replay closed gaps, too: those that are not found any more open again."""


def cluster(catalog: CatalogServiceStub, eps: float = EPS, progress: Callable[[int], None] = lambda _: None) -> int:
    """Writes the cluster of every gap; returns how many clusters there are. progress: gets the gaps read so far."""
    before: dict[str, str] = {}
    vectors = []
    for gap in listed(catalog, "scan_id", "scan_time", "cluster_id", "model", "vector"):
        before[gap.scan_id] = gap.cluster_id
        vector = np.frombuffer(gap.vector, "<f4")
        vectors.append(GapVector(gap.scan_id, gap.scan_time.ToDatetime(UTC), gap.model, vector))
        progress(len(vectors))
    after = demand_clusters(vectors, eps)
    changed = [scan_id for scan_id, own in sorted(after.items()) if own != before[scan_id]]
    for some in _batches(changed, _PAGE):
        clustered = [catalog_pb2.ClusteredGap(scan_id=scan_id, cluster_id=after[scan_id]) for scan_id in some]
        catalog.ClusterGaps(catalog_pb2.ClusterGapsRequest(gaps=clustered), timeout=_TIMEOUT)
    return len({own for own in after.values() if own})


def replay(
    catalog: CatalogServiceStub,
    gateway: GatewayServiceStub,
    replay_id: str,
    settings: ReplaySettings,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Counts:
    """Scans gaps again and records what that comes to; those that the run has replayed before are left out.

    progress: gets how many gaps are done, of how many. Raises grpc.RpcError when the catalogue does not answer, or the
    gateway answers no scan of a whole page.
    """
    state = GAP_STATE_UNSPECIFIED if settings.closed_too else GAP_STATE_OPEN
    total = sum(1 for _ in listed(catalog, "scan_id", state=state))
    counts: Counts = Counter()
    done = 0
    fields = ("scan_id", "category", "crop", "refused_product_id", "said_product_id", "replay")
    gaps = listed(catalog, *fields, state=state, page=settings.page)
    with ThreadPoolExecutor(settings.at_once) as pool:
        for page in _batches(gaps, settings.page):
            fresh = [gap for gap in page if gap.replay.replay_id != replay_id]
            results = list(pool.map(partial(_replayed, gateway, settings), fresh))
            _record(catalog, replay_id, [told for told in results if isinstance(told, catalog_pb2.ReplayedGap)])
            failures = [told for told in results if isinstance(told, grpc.RpcError)]
            if failures and len(failures) == sum(1 for gap in fresh if gap.crop):
                raise failures[0]
            counts.update((gap.category, _result(told)) for gap, told in zip(fresh, results, strict=True))
            done += len(page)
            progress(done, max(done, total))
    _record(catalog, replay_id, [])
    return counts


def judged(gap: Gap, answer: gateway_pb2.ScanResponse) -> catalog_pb2.ReplayedGap | None:
    """What an answer says of a gap; None where too much was missing to tell.

    The product that the user called wrong does not close the gap, and where the user said which one it is, only that
    one does, as the first or another one of the same style.
    """
    if answer.outcome == gateway_pb2.OUTCOME_UNDECIDED:
        return None
    products = [match.product.product_id for match in answer.styles[0].products] if answer.styles else []
    best = products[0] if products else ""
    found = answer.outcome == gateway_pb2.OUTCOME_MATCHED and best != gap.refused_product_id
    if gap.said_product_id:
        found = answer.outcome == gateway_pb2.OUTCOME_MATCHED and gap.said_product_id in products
        best = gap.said_product_id if found else best
    told = catalog_pb2.ReplayedGap(
        scan_id=gap.scan_id,
        product_id=best,
        found=found,
        confidence=min(1.0, max(0.0, answer.confidence)),
        model=answer.versions.embedder,
    )
    if answer.versions.HasField("index_time"):
        told.index_time.CopyFrom(answer.versions.index_time)
    return told


def listed(
    catalog: CatalogServiceStub,
    *fields: str,
    state: GapState = GAP_STATE_UNSPECIFIED,
    order_by: str = "",
    category: str = "",
    page: int = _PAGE,
) -> Iterator[Gap]:
    """All gaps of a state and category, with these fields."""
    request = catalog_pb2.ListGapsRequest(
        page_size=page, state=state, order_by=order_by, category=category, read_mask=FieldMask(paths=fields)
    )
    while True:
        answer = catalog.ListGaps(request, timeout=_TIMEOUT)
        yield from answer.gaps
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def _replayed(
    gateway: GatewayServiceStub, settings: ReplaySettings, gap: Gap
) -> catalog_pb2.ReplayedGap | grpc.RpcError | Result:
    """What is to be recorded, or why nothing is; an error of the gateway if it did not answer."""
    if not gap.crop:
        return "without crop"
    request = gateway_pb2.ScanRequest(image=Image(encoded=gap.crop), focus=_WHOLE, synthetic=True, top_k=1)
    try:
        answer = _patiently(lambda: gateway.Scan(request, timeout=settings.scan_seconds), settings)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            return "unreadable"
        if error.code() in _LATER:
            return error
        raise
    return judged(gap, answer) or "undecided"


def _result(told: catalog_pb2.ReplayedGap | grpc.RpcError | Result) -> Result:
    match told:
        case catalog_pb2.ReplayedGap():
            return "closed" if told.found else "open"
        case grpc.RpcError():
            return "unanswered"
    return told


def _patiently(call: Callable[[], T], settings: ReplaySettings) -> T:
    for attempt in range(settings.attempts - 1):
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() not in _LATER:
                raise
            time.sleep(settings.wait_seconds * 2**attempt)
    return call()


def _record(catalog: CatalogServiceStub, replay_id: str, gaps: Sequence[catalog_pb2.ReplayedGap]) -> None:
    catalog.RecordReplays(catalog_pb2.RecordReplaysRequest(replay_id=replay_id, gaps=gaps), timeout=_TIMEOUT)


def _batches(items: Iterator[T] | Sequence[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch

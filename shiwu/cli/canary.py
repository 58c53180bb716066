"""A recall canary: scans known photos again and again, and tells Prometheus what it found."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from prometheus_client import Counter, Gauge, Histogram
from rich.console import Console

from shiwu.chassis.metrics import BUCKETS, observe_build, serving_metrics
from shiwu.cli.canary_set import KnownPhoto, read_photos
from shiwu.cli.connection import connected
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image

_KINDS: Final = ("present", "absent")

_RECALL = Gauge("shiwu_canary_recall", "Recall@1: share of the present photos whose product came first.")
_ACCEPTED = Gauge("shiwu_canary_accepted_share", "Share of the photos that were answered with a match.", ("kind",))
_PHOTOS = Gauge("shiwu_canary_photos", "Photos of a round.", ("kind",))
_SCAN = Histogram("shiwu_canary_scan_seconds", "Duration of answered scans, seen from the client.", buckets=BUCKETS)
_FAILURES = Counter("shiwu_canary_failures_total", "Scans that were not answered.")
_LAST_SUCCESS = Gauge("shiwu_canary_last_success_timestamp_seconds", "When a round with all photos answered ended.")

_console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Watch:
    """How a canary goes about it."""

    gateway: str
    timeout: float = 10.0
    every: float = 60.0
    """Seconds from the start of a round to the start of the next."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None


@dataclass(frozen=True)
class Round:
    """What one round over all photos came to."""

    recall: float | None
    """None: no present photo was answered."""
    failures: int


def canary(photos: Path, watch: Watch, *, once: bool, min_recall: float) -> bool:
    """Scans until the process is told to end, or one round.

    Returns whether the last round was good: all photos answered, and the recall not below `min_recall`.
    Raises InputError if the photos cannot be read.
    """
    known = read_photos(photos)
    observe_build("canary")
    told = threading.Event()
    if not once:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: told.set())
    with serving_metrics(watch.metrics_host, watch.metrics_port), connected(watch.gateway) as channel:
        scan = _scanner(channel, watch)
        while True:
            began = time.monotonic()
            found = scan_all(known, scan)
            if once or told.wait(max(0.0, began + watch.every - time.monotonic())):
                return found.failures == 0 and (found.recall is None or found.recall >= min_recall)


def scan_all(known: Sequence[KnownPhoto], scan: Callable[[bytes], pb.ScanResponse]) -> Round:
    """Scans each photo once, and sets the metrics. scan: raises grpc.RpcError when there is no answer."""
    began = time.monotonic()
    answers = [(photo.expected, answer) for photo in known if (answer := _answer(photo, scan)) is not None]
    right = {kind: [each.is_met(answer) for each, answer in answers if _kind(each.absent) == kind] for kind in _KINDS}
    for kind in _KINDS:
        matched = [a.outcome == pb.OUTCOME_MATCHED for each, a in answers if _kind(each.absent) == kind]
        _PHOTOS.labels(kind).set(sum(_kind(photo.expected.absent) == kind for photo in known))
        if matched:
            _ACCEPTED.labels(kind).set(sum(matched) / len(matched))
    recall = sum(right["present"]) / len(right["present"]) if right["present"] else None
    if recall is not None:
        _RECALL.set(recall)
    failures = len(known) - len(answers)
    _FAILURES.inc(failures)
    if not failures:
        _LAST_SUCCESS.set_to_current_time()
    _console.print(
        f"recall@1 {sum(right['present'])}/{len(right['present'])}, refused {sum(right['absent'])}/"
        f"{len(right['absent'])} absent, unanswered {failures}, {time.monotonic() - began:.1f} s"
    )
    return Round(recall, failures)


def _answer(photo: KnownPhoto, scan: Callable[[bytes], pb.ScanResponse]) -> pb.ScanResponse | None:
    expected = photo.expected
    start = time.perf_counter()
    try:
        answer = scan(photo.data)
    except grpc.RpcError as error:
        _console.print(f"no answer: {expected.photo}: {error.code().name}: {error.details()}")
        return None
    _SCAN.observe(time.perf_counter() - start)
    if not expected.is_met(answer):
        wanted = "nothing" if expected.absent else expected.product or f"style {expected.style}"
        first = answer.styles[0].products[0].product.product_id if answer.styles else "nothing"
        outcome = pb.Outcome.Name(answer.outcome)
        _console.print(f"wrong: {expected.photo}: expected {wanted}, got {first} ({outcome}), scan {answer.scan_id}")
    return answer


def _scanner(channel: grpc.Channel, watch: Watch) -> Callable[[bytes], pb.ScanResponse]:
    stub = GatewayServiceStub(channel)

    def scan(photo: bytes) -> pb.ScanResponse:
        request = pb.ScanRequest(image=Image(encoded=photo), synthetic=True)
        return stub.Scan(request, timeout=watch.timeout)

    return scan


def _kind(absent: bool) -> str:
    return _KINDS[absent]

"""Prometheus metrics: rate, errors and duration of every method, and how long stages, models and stores take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from shiwu.chassis.admission import Admission

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHOD = ("grpc_type", "grpc_service", "grpc_method")

# The names that go-grpc-prometheus made common, so that existing dashboards and alerts fit.
_STARTED = Counter("grpc_server_started_total", "Calls begun.", _METHOD)
_HANDLED = Counter("grpc_server_handled_total", "Calls ended.", (*_METHOD, "grpc_code"))
_HANDLING = Histogram("grpc_server_handling_seconds", "Duration of calls.", _METHOD, buckets=_BUCKETS)
_IN_FLIGHT = Gauge("grpc_server_in_flight", "Calls under way.")

_ADMISSION = Gauge("admission_requests", "Requests that may be in service, are, wait for it.", ("state",))
_REFUSED = Gauge("admission_refused", "Requests refused since the start, since too many were in service.")

_STAGE = Histogram("stage_seconds", "Duration of the stages of a request.", ("stage",), buckets=_BUCKETS)
_MODEL = Histogram("model_seconds", "Duration of model runs.", ("model", "outcome"), buckets=_BUCKETS)
_STORE = Histogram("store_seconds", "Duration of store operations.", ("operation", "outcome"), buckets=_BUCKETS)


class MethodMetrics:
    """The metrics of one RPC method, with their labels resolved once."""

    def __init__(self, kind: str, method: str) -> None:
        """kind: "unary", "server_stream", "client_stream" or "bidi_stream". method: "/package.Service/Method"."""
        service, name = method.strip("/").split("/", 1)
        self._labels = (kind, service, name)
        self._started = _STARTED.labels(*self._labels)
        self._handling = _HANDLING.labels(*self._labels)
        self._handled: dict[str, Counter] = {}

    def started(self) -> None:
        self._started.inc()
        _IN_FLIGHT.inc()

    def handled(self, code: str, seconds: float) -> None:
        """code: name of the status code, "OK"."""
        if code not in self._handled:
            self._handled[code] = _HANDLED.labels(*self._labels, code)
        self._handled[code].inc()
        self._handling.observe(seconds)
        _IN_FLIGHT.dec()


def watch_admission(admission: Admission) -> None:
    """Reads the state of the process's admission whenever the metrics are asked for."""
    _ADMISSION.labels("limit").set_function(lambda: admission.limit)
    _ADMISSION.labels("in_flight").set_function(lambda: admission.in_flight)
    _ADMISSION.labels("waiting").set_function(lambda: admission.waiting)
    _REFUSED.set_function(lambda: admission.refused)


def observe_stage(stage: str, seconds: float) -> None:
    """Records how long one stage of a request took."""
    _STAGE.labels(stage).observe(seconds)


@contextmanager
def timed_model(name: str) -> Iterator[None]:
    """Records how long the block, one run of the model, takes and whether it raises."""
    with _timed(_MODEL, name):
        yield


@contextmanager
def timed_store(operation: str) -> Iterator[None]:
    """Records how long the block, one operation of a store, takes and whether it raises."""
    with _timed(_STORE, operation):
        yield


@contextmanager
def _timed(histogram: Histogram, label: str) -> Iterator[None]:
    start = time.perf_counter()
    outcome = "error"
    try:
        yield
        outcome = "ok"
    finally:
        histogram.labels(label, outcome).observe(time.perf_counter() - start)


@contextmanager
def serving_metrics(host: str, port: int | None) -> Iterator[int | None]:
    """Serves the metrics over HTTP meanwhile, on the port that it yields; does nothing if `port` is None.

    Raises OSError if the port is taken.
    """
    if port is None:
        yield None
        return
    server, thread = start_http_server(port, host.strip("[]"))
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

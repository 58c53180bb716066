"""Prometheus metrics: rate, errors and duration of every method, health, stores, and what a service adds of its own.

Durations of calls carry the call's trace id as an exemplar where the scraper asks for OpenMetrics, as Prometheus does:
from a slow bucket to one call's trace and log lines. What may be a label, and who records what: docs/decisions/0023.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from shiwu.chassis.admission import Admission
from shiwu.chassis.calls import current_call

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Of durations, seconds. The objectives of the alert rules must be among them."""
_METHOD = ("grpc_type", "grpc_service", "grpc_method")

# The names that go-grpc-prometheus made common, so that existing dashboards and alerts fit.
_STARTED = Counter("grpc_server_started_total", "Calls begun.", _METHOD)
_HANDLED = Counter("grpc_server_handled_total", "Calls ended.", (*_METHOD, "grpc_code"))
_HANDLING = Histogram("grpc_server_handling_seconds", "Duration of calls.", _METHOD, buckets=BUCKETS)
_IN_FLIGHT = Gauge("grpc_server_in_flight", "Calls under way.")
_SERVING = Gauge("grpc_server_serving", "1 while the server's health is SERVING, 0 otherwise.")

_TASKS = Gauge("asyncio_tasks", "Tasks of the event loop; grows if they are leaked.")
_BUILD = Gauge("service_build_info", "1; which service this is, and of which version.", ("service", "version"))
_STORE = Histogram("store_seconds", "Duration of store operations.", ("operation", "outcome"), buckets=BUCKETS)


class MethodMetrics:
    """The metrics of one RPC method, with their labels resolved once."""

    def __init__(self, kind: str, method: str) -> None:
        """kind: "unary", "server_stream", "client_stream" or "bidi_stream". method: "/package.Service/Method"."""
        service, name = method.strip("/").split("/", 1)
        self._labels = (kind, service, name)
        self._started = _STARTED.labels(*self._labels)
        self._handling = _HANDLING.labels(*self._labels)
        self._handled = {"OK": _HANDLED.labels(*self._labels, "OK")}

    def started(self) -> None:
        self._started.inc()
        _IN_FLIGHT.inc()

    def handled(self, code: str, seconds: float) -> None:
        """code: name of the status code, "OK"."""
        if code not in self._handled:
            self._handled[code] = _HANDLED.labels(*self._labels, code)
        self._handled[code].inc()
        self._handling.observe(seconds, exemplar())
        _IN_FLIGHT.dec()


def exemplar() -> dict[str, str] | None:
    """What points from a measurement to the call being served; None outside of one."""
    call = current_call.get()
    return None if call is None or not call.trace_id else {"trace_id": call.trace_id}


def observe_build(service: str) -> None:
    """Says which service this process is, and the version of its distribution."""
    _BUILD.labels(service, version("shiwu")).set(1)


def observe_serving(*, serving: bool) -> None:
    """Records the server's health."""
    _SERVING.set(serving)


def admission_metrics(admission: Admission) -> Iterator[Metric]:
    """The state of the process's admission, for `exporting`."""
    requests = GaugeMetricFamily(
        "admission_requests", "Requests that may be in service, are, wait for it.", labels=["state"]
    )
    requests.add_metric(["limit"], admission.limit)
    requests.add_metric(["in_flight"], admission.in_flight)
    requests.add_metric(["waiting"], admission.waiting)
    yield requests
    yield CounterMetricFamily("admission_refused", "Requests refused, as too many were in service.", admission.refused)


@contextmanager
def timed_store(operation: str) -> Iterator[None]:
    """Records how long the block, one operation of a store, takes and whether it raises."""
    start = time.perf_counter()
    outcome = "error"
    try:
        yield
        outcome = "ok"
    finally:
        _STORE.labels(operation, outcome).observe(time.perf_counter() - start)


@contextmanager
def exporting(collect: Callable[[], Iterable[Metric]]) -> Iterator[None]:
    """Asks `collect` for more metrics at every scrape meanwhile, in the thread that answers it.

    For what is a state and not an event: reading it when somebody looks costs nothing in between.
    """
    collector = _Asking(collect)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)


class _Asking(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def watch_tasks() -> None:
    """Counts the tasks of the running event loop whenever the metrics are asked for."""
    loop = asyncio.get_running_loop()
    _TASKS.set_function(lambda: len(asyncio.all_tasks(loop)))


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

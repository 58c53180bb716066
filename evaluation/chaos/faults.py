"""What can go wrong. Each fault is there while its block runs, and repaired when that ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from evaluation.chaos.site import Site

T = TypeVar("T")
_HOUR: Final = 3600
_MIN_READY: Final = 3.0
"""Seconds between two processes of a rolling restart: what Kubernetes calls minReadySeconds."""


@dataclass(frozen=True)
class Fault:
    """A fault, and whether a site has what it breaks."""

    name: str
    inject: Callable[[Site], AbstractContextManager[None]]
    possible: Callable[[Site], bool] = lambda _: True


@contextmanager
def killed(site: Site, service: str, *, all_of_them: bool = False) -> Iterator[None]:
    """SIGKILL; started again afterwards."""
    replicas = site.mesh.of(service) if all_of_them else site.mesh.of(service)[:1]
    for replica in replicas:
        site.mesh.kill(replica)
    yield
    for replica in replicas:
        site.mesh.start(replica)


@contextmanager
def frozen(site: Site, service: str) -> Iterator[None]:
    """SIGSTOP: it hangs, its connections stay."""
    replica = site.mesh.of(service)[0]
    site.mesh.freeze(replica)
    try:
        yield
    finally:
        site.mesh.thaw(replica)


@contextmanager
def restarted(site: Site, service: str) -> Iterator[None]:
    """A rolling restart: one process after the other ends in good order, and is ready again before the next.

    With a pause in between, for clients come back to a process up to two seconds after it is ready (channel.py).
    """
    for replica in site.mesh.of(service):
        site.mesh.restart(replica)
        time.sleep(_MIN_READY)
    yield


@contextmanager
def milvus_killed(site: Site) -> Iterator[None]:
    """kill -9 of the vector store."""
    _there(site.milvus).kill()
    yield
    _there(site.milvus).start()


@contextmanager
def query_node_killed(site: Site) -> Iterator[None]:
    """kill -9 of one of the cluster's two query nodes, each of which has a replica of all vectors."""
    _there(site.cluster).kill("querynode1")
    yield
    _there(site.cluster).revive("querynode1")


@contextmanager
def triton_killed(site: Site) -> Iterator[None]:
    """kill -9 of the server of all models."""
    _there(site.triton).kill()
    yield
    _there(site.triton).start()


@contextmanager
def triton_restarted(site: Site) -> Iterator[None]:
    """It ends in good order, and is started again."""
    _there(site.triton).stop()
    _there(site.triton).start()
    yield


@contextmanager
def postgres_killed(site: Site) -> Iterator[None]:
    """The database crashes and recovers."""
    _there(site.postgres).kill()
    yield
    _there(site.postgres).start()


@contextmanager
def postgres_restarted(site: Site) -> Iterator[None]:
    """The database is restarted in good order: its connections break."""
    _there(site.postgres).stop()
    _there(site.postgres).start()
    yield


@contextmanager
def slow_network(site: Site, *, delay_seconds: float, delayed: int, aborted: int) -> Iterator[None]:
    """Calls to search are late, or lost."""
    _there(site.envoy).faults(delay_seconds=delay_seconds, delayed=delayed, aborted=aborted)
    try:
        yield
    finally:
        _there(site.envoy).faults()


@contextmanager
def clock_set(site: Site, seconds: int) -> Iterator[None]:
    """The clock of all services jumps."""
    _there(site.clock).write_text(f"{seconds:+d}\n", encoding="utf-8")
    try:
        yield
    finally:
        _there(site.clock).write_text("+0\n", encoding="utf-8")
        time.sleep(1.0)  # the services look once a second


@contextmanager
def logs_full(site: Site) -> Iterator[None]:
    """No service can write its log."""
    site.logs.fill()
    try:
        yield
    finally:
        site.logs.clear()


@contextmanager
def database_full(site: Site) -> Iterator[None]:
    """SQLite cannot write."""
    _there(site.database).fill()
    try:
        yield
    finally:
        _there(site.database).clear()


def _there(part: T | None) -> T:
    if part is None:
        msg = "this site has no such part"
        raise ValueError(msg)
    return part


def _has_database_disk(site: Site) -> bool:
    return site.database is not None and site.database.is_small


_SERVICES: Final = ("gateway", "detector", "embedder", "classifier", "search", "catalog")

ON_SERVERS: Final = (
    *(Fault(f"{name} killed", partial(killed, service=name)) for name in _SERVICES),
    *(
        Fault(f"both of {name} killed", partial(killed, service=name, all_of_them=True))
        for name in ("detector", "embedder", "classifier")
    ),
    *(Fault(f"{name} frozen", partial(frozen, service=name)) for name in _SERVICES),
    *(Fault(f"{name} restarted", partial(restarted, service=name)) for name in _SERVICES),
    Fault("Milvus killed", milvus_killed),
    Fault("PostgreSQL killed", postgres_killed),
    Fault("PostgreSQL restarted", postgres_restarted),
    Fault("search 0.3 s away", partial(slow_network, delay_seconds=0.3, delayed=100, aborted=0)),
    Fault("search 5 s away for half", partial(slow_network, delay_seconds=5.0, delayed=50, aborted=0)),
    Fault("30 % of calls to search lost", partial(slow_network, delay_seconds=0.0, delayed=0, aborted=30)),
    Fault("clocks an hour fast", partial(clock_set, seconds=_HOUR)),
    Fault("clocks an hour slow", partial(clock_set, seconds=-_HOUR)),
    Fault("disk of the logs full", logs_full, lambda site: site.logs.is_small),
)
"""What is done to a mesh on servers."""

ON_CLUSTER: Final = (
    Fault("query node killed", query_node_killed),
    Fault("Triton killed", triton_killed),
    Fault("Triton restarted", triton_restarted),
)
"""What is done to a mesh on Triton and a Milvus cluster."""

EMBEDDED: Final = (
    Fault("SQLite's disk full", database_full, _has_database_disk),
    Fault("Milvus Lite killed (with search)", partial(killed, service="search")),
    Fault("SQLite killed (with catalog)", partial(killed, service="catalog")),
)
"""What is done to a mesh on embedded stores."""

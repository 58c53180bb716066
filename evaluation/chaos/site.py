"""The mesh that faults are done to, on real stores: with servers, on a cluster, or embedded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from evaluation.chaos.disk import SmallDisk
from evaluation.envoy import Envoy
from evaluation.milvus_cluster import MilvusCluster, running_cluster
from evaluation.milvus_server import MilvusServer, running_milvus
from evaluation.postgres_server import PostgresServer, running_postgres
from evaluation.programs import program, unpack_wheel
from evaluation.replicas import Replicas
from evaluation.stocked import CACHE, stock
from evaluation.triton_server import TritonServer, running_triton
from offline.triton.policy import read_policies
from offline.triton.repository import Engines, write_model
from shiwu.categories import CATEGORIES
from shiwu.cli.mesh import Layout
from shiwu.inference.released import DETECTOR, EMBEDDER

_FAKETIME: Final = "libfaketime==3.0.1"
_STATELESS: Final = {"gateway": 2, "detector": 2, "embedder": 2, "classifier": 2}
_RELEASES: Final = (Path("models", DETECTOR), Path("models", EMBEDDER))
_POLICIES: Final = Path("deploy/triton/policy.yaml")
_LOG_MIB: Final = 128
_DATABASE_MIB: Final = 32


@dataclass(frozen=True)
class Site:
    """A running mesh and what it stands on. What a site does not have is None."""

    mesh: Replicas
    logs: SmallDisk
    milvus: MilvusServer | None = None
    cluster: MilvusCluster | None = None
    triton: TritonServer | None = None
    postgres: PostgresServer | None = None
    envoy: Envoy | None = None
    clock: Path | None = None
    """File that says how wrong the services' clocks are: "+0", "+3600"."""
    database: SmallDisk | None = None
    """Where SQLite writes."""


@contextmanager
def on_servers(home: Path) -> Iterator[Site]:
    """PostgreSQL, Milvus standalone, an Envoy before search; two of each stateless service. Stocked."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        milvus = stack.enter_context(running_milvus(home / "milvus"))
        logs = stack.enter_context(SmallDisk.mounted(home / "logs", _LOG_MIB))
        url, envoy = postgres.create_database(), Envoy()
        extra = {"SEARCH_ENDPOINT": milvus.uri, "CATALOG_DATABASE_URL": url}
        subprocess.run(
            [sys.executable, "-m", "services.catalog", "migrate"],
            env=os.environ | {"CATALOG_DATABASE_URL": url},
            stdout=sys.stderr,
            check=True,
        )
        clock = home / "clock"
        mesh = Replicas(
            _layout(home, extra),
            _STATELESS,
            via={"search": envoy.target},
            environment=clock_environment(clock),
            logs=logs.path,
        )
        stack.enter_context(envoy.running(home / "envoy", [mesh.address(each) for each in mesh.of("search")]))
        stack.enter_context(mesh.running())
        stock(mesh.target("catalog"))
        yield Site(mesh, logs, milvus, postgres=postgres, envoy=envoy, clock=clock)


@contextmanager
def on_cluster(home: Path) -> Iterator[Site]:
    """Models on Triton, vectors in a Milvus cluster with two query nodes and two replicas; one of each service."""
    with ExitStack() as stack:
        logs = stack.enter_context(SmallDisk.mounted(home / "logs", _LOG_MIB))
        cluster = stack.enter_context(running_cluster(home / "milvus"))
        policies, no_engines = read_policies(_POLICIES), Engines(home)
        for release in _RELEASES:
            write_model(release, home / "repository", "python", policies.of(release.name), no_engines)
        triton = stack.enter_context(running_triton(home / "repository", home))
        shards = home / "shards.yaml"
        place = {"endpoint": cluster.uri, "replicas": 2, "channels": 2}
        shards.write_text(yaml.safe_dump({"shards": [{"name": "all", "categories": list(CATEGORIES), **place}]}))
        extra = {"SEARCH_SHARDS": str(shards)}
        extra |= {f"{service}_RUNNER__ENDPOINT": triton.endpoint for service in ("DETECTOR", "EMBEDDER")}
        mesh = Replicas(_layout(home, extra), {}, logs=logs.path)
        stack.enter_context(mesh.running())
        stock(mesh.target("catalog"))
        yield Site(mesh, logs, cluster=cluster, triton=triton)


@contextmanager
def embedded(home: Path) -> Iterator[Site]:
    """SQLite on a small disk and Milvus Lite; one of each service. Stocked."""
    with ExitStack() as stack:
        logs = stack.enter_context(SmallDisk.mounted(home / "logs", _LOG_MIB))
        database = stack.enter_context(SmallDisk.mounted(home / "database", _DATABASE_MIB))
        extra = {"CATALOG_DATABASE_URL": f"sqlite+aiosqlite:///{database.path / 'catalog.db'}"}
        mesh = Replicas(_layout(home, extra), {}, logs=logs.path)
        stack.enter_context(mesh.running())
        stock(mesh.target("catalog"))
        yield Site(mesh, logs, database=database)


def _layout(home: Path, extra: Mapping[str, str]) -> Layout:
    home.mkdir(parents=True, exist_ok=True)
    own = {
        # Pictures that an outage left behind are given to the index again soon enough to be seen here.
        "CATALOG_UPKEEP_SECONDS": "5",
        # A process that starts takes the cores that all share here: scans get slow by that, which is not what is
        # tried, and the gateway would shed them.
        "GATEWAY_ADMISSION__MINIMUM": "16",
    }
    return Layout(home, import_roots=(CACHE,), extra={**own, **extra})


def clock_environment(file: Path) -> dict[str, str]:
    """The environment of a process whose clock is as wrong as the file says."""
    file.write_text("+0\n", encoding="utf-8")
    # Not Debian's package: its clock_nanosleep makes Python's time.sleep fail.
    place = program(_FAKETIME, lambda folder: unpack_wheel(_FAKETIME, folder))
    return {
        "LD_PRELOAD": str(place / "libfaketime/vendor/libfaketime/src/libfaketime.so.1"),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",  # seconds between looks at the file
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # as a clock that is set: the time since the start does not jump
        # Else it waits for conditions of that clock, Python's GIL among them, by asking again and again: with several
        # threads at work a process would take ten times as much of the cores.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        "NO_FAKE_STAT": "1",
    }

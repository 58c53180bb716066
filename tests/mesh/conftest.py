from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shiwu.cli.mesh import SERVICES, free_ports
from tests import demo_mesh
from tests.demo_mesh import STOCK, DemoMesh
from tests.otlp_collector import Collector, running_collector


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Receives the spans of `demo`."""
    with running_collector() as collector:
        yield collector


@pytest.fixture(scope="session")
def metrics_ports() -> dict[str, int]:
    """Where the services of `demo` serve their metrics."""
    first = free_ports(2 * len(SERVICES)) + len(SERVICES)  # those before are the mesh's own
    return {service: first + i for i, service in enumerate(SERVICES)}


@pytest.fixture(scope="session")
def demo(
    tmp_path_factory: pytest.TempPathFactory, collector: Collector, metrics_ports: dict[str, int]
) -> Iterator[DemoMesh]:
    """One stocked mesh for all tests that leave it as it was; it is observed as in production."""
    extra = {"CATALOG_LOOK_SECONDS": "1", "SEARCH_COUNT_SECONDS": "1"}
    for service, port in metrics_ports.items():
        extra[f"{service.upper()}_SERVER__METRICS_PORT"] = str(port)
        extra[f"{service.upper()}_OBSERVABILITY__OTLP_ENDPOINT"] = collector.endpoint
    demo = demo_mesh.start(
        Path(tmp_path_factory.mktemp("mesh")), extra, port=min(metrics_ports.values()) - len(SERVICES)
    )
    with demo.mesh:
        demo.mesh.wait_ready()
        result = demo.finish_import(demo.start_import(demo.write_feed(STOCK)))
        assert result.rows_failed == 0, result.errors
        assert result.images_indexed == len(STOCK)
        yield demo

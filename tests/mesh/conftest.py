from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import demo_mesh
from tests.demo_mesh import STOCK, DemoMesh


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMesh]:
    """One stocked mesh for all tests that leave it as it was."""
    demo = demo_mesh.start(Path(tmp_path_factory.mktemp("mesh")))
    with demo.mesh:
        demo.mesh.wait_ready()
        result = demo.finish_import(demo.start_import(demo.write_feed(STOCK)))
        assert result.rows_failed == 0, result.errors
        assert result.images_indexed == len(STOCK)
        yield demo

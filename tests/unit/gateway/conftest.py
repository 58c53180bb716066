"""A gateway in front of the little world's servers."""

from __future__ import annotations

import pytest

from tests.unit.gateway.servers import Mesh
from tests.unit.gateway.world import STOCK, World


@pytest.fixture
async def mesh():
    async with Mesh(World(STOCK)).running() as mesh:
        yield mesh

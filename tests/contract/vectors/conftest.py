from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from evaluation.milvus_cluster import MilvusCluster, running_cluster
from evaluation.milvus_server import MilvusServer, running_milvus
from services.search.memory import MemoryStore
from services.search.milvus import MilvusStore
from services.search.milvus_connection import MilvusConnection
from services.search.shards import Shard
from services.search.store import VectorStore
from tests.contract.vectors.pictures import Close, fresh_name

CATEGORIES = ("shoes", "bags", "clothing")


class Backend(Protocol):
    """A kind of store. What is opened twice under one name is the same shard, if it persists."""

    def open(self, shard: str) -> VectorStore: ...


class MemoryBackend:
    def open(self, shard: str) -> VectorStore:
        return MemoryStore(shard)


class MilvusBackend:
    def __init__(self, endpoint: str, replicas: int = 1, channels: int = 1) -> None:
        self.endpoint = endpoint
        self._spread = {"replicas": replicas, "channels": channels}

    def open(self, shard: str) -> VectorStore:
        place = Shard(name=shard, categories=CATEGORIES, endpoint=self.endpoint, **self._spread)
        # Longer than in production: here the machine is shared with whatever else is tested.
        return MilvusStore(place, MilvusConnection(self.endpoint, address=place.address, seconds=10.0))


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    with running_milvus(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("lite"), "vectors.db")


@pytest.fixture(params=["memory", "lite", "milvus", pytest.param("cluster", marks=pytest.mark.long)])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "memory":
        return MemoryBackend()
    if request.param == "lite":
        return MilvusBackend(str(request.getfixturevalue("lite")))
    if request.param == "cluster":
        return MilvusBackend(request.getfixturevalue("cluster").uri, replicas=2, channels=2)
    return MilvusBackend(request.getfixturevalue("milvus").uri)


@pytest.fixture(params=["lite", "milvus"])
def persistent(request: pytest.FixtureRequest) -> MilvusBackend:
    if request.param == "lite":
        return MilvusBackend(str(request.getfixturevalue("lite")))
    return MilvusBackend(request.getfixturevalue("milvus").uri)


@pytest.fixture
async def closing() -> AsyncIterator[Callable[[VectorStore], VectorStore]]:
    """Registers a store to be closed after the test."""
    closers: list[Callable[[], Awaitable[None]]] = []

    def register(store: VectorStore) -> VectorStore:
        closers.append(store.close)
        return store

    yield register
    for close in reversed(closers):
        await close()


@pytest.fixture
def fresh(backend, closing: Close) -> VectorStore:
    """A shard that was never written to."""
    return closing(backend.open(fresh_name()))

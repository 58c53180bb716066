"""Runs the search service: python -m services.search."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from services.search.access import AUDITED, TABLE
from services.search.index import ShardedIndex
from services.search.metrics import ShardMetrics
from services.search.milvus import MilvusStore
from services.search.milvus_connection import MilvusConnection
from services.search.servicer import SearchService
from services.search.settings import Settings
from services.search.shards import Shard, ShardMap, address, read_shard_map
from shiwu.chassis.audit import AuditLog
from shiwu.chassis.metrics import exporting
from shiwu.chassis.process import run, until_signalled
from shiwu.chassis.repeating import repeating
from shiwu.chassis.server import running
from shiwu.v1.search_pb2_grpc import add_SearchServiceServicer_to_server

NAME = "shiwu.v1.SearchService"


def shard_map(settings: Settings) -> ShardMap:
    """The shard map that the settings name. Raises ShardMapError."""
    shards = read_shard_map(settings.shards)
    return (shards if settings.endpoint is None else shards.at(settings.endpoint)).under(settings.home)


def stores(shards: ShardMap, settings: Settings) -> Iterator[tuple[Shard, MilvusStore]]:
    """Each shard with its store; shards at one endpoint share a connection. To be called in the event loop."""
    connections: dict[tuple[str, bool], MilvusConnection] = {}

    def connection(endpoint: str, *, second: bool) -> MilvusConnection:
        if (endpoint, second) not in connections:
            connections[endpoint, second] = MilvusConnection(
                endpoint,
                address=address(endpoint),
                token=settings.token.get_secret_value(),
                seconds=settings.attempt_seconds,
            )
        return connections[endpoint, second]

    for shard in shards.shards:
        first = connection(shard.endpoint, second=False)
        if shard.is_lite or not settings.hedge_share:
            yield shard, MilvusStore(shard, first)
        else:
            again = connection(shard.second or shard.endpoint, second=True)
            yield shard, MilvusStore(shard, first, again, settings.hedge_share)


async def main(settings: Settings) -> None:
    """Serves until the process is told to end."""
    shards = shard_map(settings)
    index = ShardedIndex(
        stores(shards, settings),
        moves=shards.moves,
        search_seconds=settings.search_seconds,
        write_seconds=settings.write_seconds,
        probe_seconds=settings.probe_seconds,
    )
    servicer = SearchService(index)
    add = partial(add_SearchServiceServicer_to_server, servicer)
    audit = AuditLog(AUDITED, settings.audit)
    metrics = ShardMetrics(index)
    async with (
        index.watching(),
        repeating(metrics.count, settings.count_seconds, "counting pictures"),
        running(NAME, add, settings.server, {"shards": index.ready}, table=TABLE, audit=audit),
    ):
        with exporting(metrics.collect):
            await until_signalled()


if __name__ == "__main__":
    run(main, Settings, "search")

"""`shiwu models`: the versions of embedders, and how far a new one is."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from shiwu.cli.connection import connected
from shiwu.v1 import embedder_pb2, search_pb2
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceStub
from shiwu.v1.search_pb2_grpc import SearchServiceStub

_TIMEOUT = 10.0


def show(search: str, embedder: str) -> None:
    """Prints the versions that the embedder runs, and what the shards hold of each."""
    with connected(embedder) as channel:
        running = EmbedderServiceStub(channel).ListModels(embedder_pb2.ListModelsRequest(), timeout=_TIMEOUT).models
    with connected(search) as channel:
        shards = SearchServiceStub(channel).DescribeShards(search_pb2.DescribeShardsRequest(), timeout=_TIMEOUT).shards
    table = Table("model", "embedder", "pictures", "shards that serve it", "that retire it", "that build it")
    order = [model.model for model in running]
    indexed = sorted({index.model for shard in shards for index in shard.indexes})
    for model in dict.fromkeys([*order, *indexed]):
        held = [index for shard in shards for index in shard.indexes if index.model == model]
        counts = (
            sum(index.serving for index in held),
            sum(index.retiring for index in held),
            sum(not index.serving and not index.retiring for index in held),
        )
        state = "not run" if model not in order else "default" if model == order[0] else "runs"
        table.add_row(model, state, f"{sum(index.images for index in held):,}", *map(str, counts))
    Console().print(table)

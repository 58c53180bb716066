"""What a shard looks like inside Milvus: names, fields, index, aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymilvus import AsyncMilvusClient, DataType, MilvusClient

from services.search.shards import Shard
from services.search.store import ModelIndex, split_model
from shiwu.chassis.errors import InvalidInputError

KEY = "image_id"
VECTOR = "vector"
COPY = "vector_base64"
"""The vector once more, as text, which collections of earlier releases have; see `ModelIndex.copied`."""
METRIC = "IP"  # of unit vectors: the cosine
SECONDS = 30.0
"""For one step of a definition: making and loading a collection takes a server 3 s."""
_PREFIX = "shiwu"
_ID_BYTES = 512  # 128 characters
_MAX_DIMENSION = 4096


@dataclass(frozen=True, slots=True)
class Stored:
    """A collection of a shard, as found in Milvus."""

    index: ModelIndex
    ready: bool
    """Whether it is indexed, loaded and, if its model has no other version, served."""


def alias_name(shard: str, name: str) -> str:
    """The alias whose collection serves a model: shiwu_fashion__embedder_lite0."""
    return f"{_PREFIX}_{shard}__{name.replace('-', '_')}"


def collection_name(shard: str, model: str) -> str:
    """The collection of a model version: "embedder-lite0@0.1" is in shiwu_fashion__embedder_lite0__0_1."""
    name, version = split_model(model)
    return f"{alias_name(shard, name)}__{version.replace('.', '_')}"


def _retiring(collection: str) -> str:
    """The alias that marks a collection which was served before."""
    return f"{collection}__retiring"


def _model(shard: str, collection: str) -> str | None:
    parts = collection.split("__")
    if len(parts) != 3 or parts[0] != f"{_PREFIX}_{shard}":
        return None
    return f"{parts[1].replace('_', '-')}@{parts[2].replace('_', '.')}"


async def names(client: AsyncMilvusClient, seconds: float, shard: str) -> set[str]:
    """The names of a shard's collections."""
    return {each for each in await client.list_collections(timeout=seconds) if _model(shard, each) is not None}


async def read(client: AsyncMilvusClient, seconds: float, shard: str) -> list[Stored]:
    """The collections of a shard, in the order of their names."""
    stored = []
    for collection in sorted(await client.list_collections(timeout=seconds)):
        model = _model(shard, collection)
        if model is None:
            continue
        about = await client.describe_collection(collection, timeout=seconds)
        fields = {field["name"]: field for field in about["fields"]}
        aliases = list(await client.list_aliases(collection, timeout=seconds))
        state = (await client.get_load_state(collection, timeout=seconds))["state"]
        serving = alias_name(shard, split_model(model)[0]) in aliases
        retiring = _retiring(collection) in aliases
        dimension = int(fields[VECTOR]["params"]["dim"])
        index = ModelIndex(model, collection, dimension, serving, retiring, copied=COPY in fields)
        stored.append(Stored(index, ready=state.name == "Loaded"))
    served = {split_model(each.index.model)[0] for each in stored if each.index.serving}
    return [Stored(each.index, each.ready and split_model(each.index.model)[0] in served) for each in stored]


def create(client: MilvusClient, timeout: float, shard: Shard, model: str, dimension: int) -> None:
    """Makes the collection of a model version, or whatever is missing of it; serves it if it is the model's first."""
    if not 0 < dimension <= _MAX_DIMENSION:
        msg = f"has {dimension} numbers; 1 to {_MAX_DIMENSION} can be stored"
        raise InvalidInputError(msg, field="vector")
    collection = collection_name(shard.name, model)
    if not client.has_collection(collection, timeout=timeout):
        schema, channels = _schema(client, dimension), 1 if shard.is_lite else shard.channels
        client.create_collection(collection, schema=schema, num_shards=channels, timeout=timeout)
    complete(client, timeout, shard, model)


def complete(client: MilvusClient, timeout: float, shard: Shard, model: str) -> None:
    """Gives a collection whatever it misses.

    Does not make it: what lacks something is either half made or half dropped, and what is gone shall stay so.
    """
    collection = collection_name(shard.name, model)
    if not client.has_collection(collection, timeout=timeout):
        return
    if not client.list_indexes(collection, timeout=timeout):
        # Without waiting for it: there is nothing to index yet, and Milvus Lite lacks what the waiting calls.
        client.create_index(collection, _index(client, shard), timeout=timeout, sync=False)
    if client.get_load_state(collection, timeout=timeout)["state"].name != "Loaded":
        replicas = 1 if shard.is_lite else shard.replicas
        client.load_collection(collection, replica_number=replicas, timeout=timeout)
    alias = alias_name(shard.name, split_model(model)[0])
    if alias not in client.list_aliases(timeout=timeout)["aliases"]:
        client.create_alias(collection, alias, timeout=timeout)


def serve(client: MilvusClient, timeout: float, shard: str, model: str) -> None:
    """Points the model's alias at this version's collection; the one that it pointed at is marked as retiring."""
    alias, collection = alias_name(shard, split_model(model)[0]), collection_name(shard, model)
    mine = client.list_aliases(collection, timeout=timeout)["aliases"]
    if alias not in mine:
        served = client.describe_alias(alias, timeout=timeout)["collection_name"]
        # First the mark: whatever happens between, both versions are searched.
        if _retiring(served) not in client.list_aliases(served, timeout=timeout)["aliases"]:
            client.create_alias(served, _retiring(served), timeout=timeout)
        client.alter_alias(collection, alias, timeout=timeout)
    if _retiring(collection) in mine:
        client.drop_alias(_retiring(collection), timeout=timeout)


def drop(client: MilvusClient, timeout: float, shard: str, model: str) -> None:
    """Drops the collection of a version that is not served, and what an interrupted drop of it has left."""
    collection, stored = collection_name(shard, model), client.list_collections(timeout=timeout)
    dropped = f"dropped_{collection}"
    if collection not in stored and dropped not in stored:
        return
    # A drop can cost other collections on the same log channel their unflushed rows if the server is killed after
    # it (seen in Milvus 2.3.5), so nothing stays unflushed.
    for each in stored:
        if each.startswith(f"{_PREFIX}_"):
            client.flush(each, timeout=timeout)
    if dropped in stored:
        client.drop_collection(dropped, timeout=timeout)
    if collection in stored:
        for alias in client.list_aliases(collection, timeout=timeout)["aliases"]:
            client.drop_alias(alias, timeout=timeout)
        # Out of sight at once: other calls would meet it half dropped, and load it again.
        client.rename_collection(collection, dropped, timeout=timeout)
        client.release_collection(dropped, timeout=timeout)
        client.drop_collection(dropped, timeout=timeout)


def _schema(client: MilvusClient, dimension: int) -> Any:
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(KEY, DataType.VARCHAR, is_primary=True, max_length=_ID_BYTES)
    schema.add_field("product_id", DataType.VARCHAR, max_length=_ID_BYTES)
    schema.add_field("style_id", DataType.VARCHAR, max_length=_ID_BYTES)
    schema.add_field("category", DataType.VARCHAR, max_length=64)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
    return schema


def _index(client: MilvusClient, shard: Shard) -> Any:
    wanted = shard.index
    kind = wanted.type if wanted.type != "AUTO" else "FLAT" if shard.is_lite else "HNSW"
    parameters = {"M": wanted.m, "efConstruction": wanted.ef_construction} if kind == "HNSW" else {}
    index = client.prepare_index_params()
    index.add_index(VECTOR, index_type=kind, metric_type=METRIC, params=parameters)
    return index

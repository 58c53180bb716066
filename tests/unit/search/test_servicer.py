"""The service over the wire, with exact stores in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import grpc
import numpy as np
import pytest
from grpc import StatusCode

from services.search.servicer import SearchService
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.v1 import search_pb2 as pb
from shiwu.v1.search_pb2_grpc import SearchServiceStub, add_SearchServiceServicer_to_server

from .stores import DIMENSION, MODEL, MortalStore, mortal_index, unit

CATEGORIES = ("shoes", "food", "other")
IDS = [f"image-{i}" for i in range(9)]


@dataclass
class Served:
    stub: SearchServiceStub
    stores: dict[str, MortalStore]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    index, stores = mortal_index(search_seconds=5.0)
    add = partial(add_SearchServiceServicer_to_server, SearchService(index))
    settings = ServerSettings(port=0, drain_seconds=1.0)
    async with (
        running("shiwu.v1.SearchService", add, settings) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Served(SearchServiceStub(channel), stores)


def record(number: int, **changes: object) -> pb.VectorRecord:
    fields = {
        "image_id": IDS[number],
        "product_id": f"product-{number // 2}",
        "style_id": "style" if number % 2 else "",
        "category": CATEGORIES[number % 3],
        "vector": unit(number).tobytes(),
    }
    return pb.VectorRecord(**(fields | changes))


def upsert(*records: pb.VectorRecord, model: str = MODEL) -> pb.UpsertRequest:
    return pb.UpsertRequest(records=records, model=model)


def search(**changes: object) -> pb.SearchRequest:
    return pb.SearchRequest(**({"vector": unit(0).tobytes(), "model": MODEL} | changes))


def numbers(*values: float) -> bytes:
    return np.array([*values, *[0.0] * (DIMENSION - len(values))], "<f4").tobytes()


async def refused(call, request) -> tuple[StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(request, timeout=5)
    return error.value.code(), error.value.details()


async def test_stores_finds_and_forgets(served: Served) -> None:
    before = datetime.now(UTC)
    answer = await served.stub.Upsert(upsert(*(record(i) for i in range(9))))
    assert before <= answer.index_time.ToDatetime(UTC) <= datetime.now(UTC)
    assert answer.serving
    found = await served.stub.Search(search(vector=unit(4).tobytes(), top_k=2, include_vectors=True))
    assert not found.partial
    assert [(shard.shard, len(shard.hits), shard.HasField("error")) for shard in found.shards] == [
        ("fashion", 2, False),
        ("home", 2, False),
        ("media", 2, False),
    ]
    best = found.shards[1].hits[0]
    assert (best.image_id, best.product_id, best.style_id, best.category) == ("image-4", "product-2", "", "food")
    assert best.similarity == pytest.approx(1.0, abs=1e-6)
    assert best.vector == unit(4).tobytes()
    assert all(shard.elapsed_ms > 0 for shard in found.shards)
    missing = await served.stub.FindMissing(pb.FindMissingRequest(image_ids=["x", *IDS, "y"], model=MODEL))
    assert missing.image_ids == ["x", "y"]
    await served.stub.Delete(pb.DeleteRequest(image_ids=IDS[:8]))
    found = await served.stub.Search(search())
    assert [hit.image_id for shard in found.shards for hit in shard.hits] == ["image-8"]
    assert found.shards[2].hits[0].vector == b""


async def test_vectors_are_made_unit_length(served: Served) -> None:
    await served.stub.Upsert(upsert(record(0, vector=(unit(0) * 1.009).tobytes())))
    found = await served.stub.Search(search(vector=(unit(0) * 0.991).tobytes(), include_vectors=True))
    hit = found.shards[0].hits[0]
    assert hit.similarity == pytest.approx(1.0, abs=1e-6)
    assert np.linalg.norm(np.frombuffer(hit.vector, "<f4")) == pytest.approx(1.0, abs=1e-6)


async def test_an_empty_catalogue_is_no_error(served: Served) -> None:
    found = await served.stub.Search(search())
    assert [len(shard.hits) for shard in found.shards] == [0, 0, 0]
    assert not found.partial


async def test_groups_by_product(served: Served) -> None:
    await served.stub.Upsert(upsert(*(record(i, category="shoes") for i in range(9))))
    found = await served.stub.Search(search(group_by_product=True, categories=["shoes"]))
    (shard,) = found.shards
    assert sorted(hit.product_id for hit in shard.hits) == [f"product-{i}" for i in range(5)]


async def test_top_k_is_a_hundred_unless_said(served: Served) -> None:
    many = [
        pb.VectorRecord(image_id=f"i{i}", product_id="p", category="shoes", vector=unit(i).tobytes())
        for i in range(120)
    ]
    await served.stub.Upsert(upsert(*many))
    assert len((await served.stub.Search(search())).shards[0].hits) == 100
    assert len((await served.stub.Search(search(top_k=1000))).shards[0].hits) == 120


@pytest.mark.parametrize("state", ["down", "silent"])
async def test_a_lost_shard_makes_a_partial_answer(served: Served, state: str) -> None:
    await served.stub.Upsert(upsert(*(record(i) for i in range(9))))
    served.stores["home"].state = state
    found = await served.stub.Search(search(), timeout=2.0)
    assert found.partial
    assert [len(shard.hits) for shard in found.shards] == [3, 0, 3]
    code = StatusCode.UNAVAILABLE if state == "down" else StatusCode.DEADLINE_EXCEEDED
    assert found.shards[1].error.code == code.value[0]
    assert "home" in found.shards[1].error.message
    again = await served.stub.Search(search(categories=["shoes"]))
    assert not again.partial


async def test_no_shard_is_an_error(served: Served) -> None:
    for store in served.stores.values():
        store.state = "down"
    code, details = await refused(served.stub.Search, search())
    assert (code, "no shard answers" in details) == (StatusCode.UNAVAILABLE, True)
    code, _ = await refused(served.stub.Upsert, upsert(record(0)))
    assert code is StatusCode.UNAVAILABLE
    described = await served.stub.DescribeShards(pb.DescribeShardsRequest())
    assert all(shard.error.code == StatusCode.UNAVAILABLE.value[0] for shard in described.shards)


async def test_an_impatient_caller_does_not_cost_others_the_shard(served: Served) -> None:
    await served.stub.Upsert(upsert(record(0)))
    for store in served.stores.values():
        store.state = "silent"
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served.stub.Search(search(), timeout=0.2)
    assert error.value.code() is StatusCode.DEADLINE_EXCEEDED
    for store in served.stores.values():
        store.state = "up"
    assert not (await served.stub.Search(search())).partial


async def test_describes_shards_without_credentials(served: Served) -> None:
    await served.stub.Upsert(upsert(record(0), record(3), record(1)))
    described = (await served.stub.DescribeShards(pb.DescribeShardsRequest())).shards
    assert [(shard.name, len(shard.categories), shard.endpoint) for shard in described] == [
        ("fashion", 4, "http://milvus:19530"),
        ("home", 4, "http://milvus:19530"),
        ("media", 3, "http://milvus:19530"),
    ]
    (index,) = described[0].indexes
    assert (index.model, index.dimension, index.images, index.serving) == (MODEL, DIMENSION, 2, True)
    assert len(described[2].indexes) == 0


async def test_models_are_kept_apart(served: Served) -> None:
    await served.stub.Upsert(upsert(record(0)))
    new = "embedder-lite0@0.2"
    code, details = await refused(served.stub.Search, search(model=new))
    assert code is StatusCode.FAILED_PRECONDITION
    assert details == f"shard fashion is indexed with {MODEL}, not with {new}"
    code, details = await refused(served.stub.ServeModel, pb.ServeModelRequest(model=new))
    assert (code, new in details) == (StatusCode.FAILED_PRECONDITION, True)
    assert not (await served.stub.Upsert(upsert(record(0), model=new))).serving
    await served.stub.ServeModel(pb.ServeModelRequest(model=new))
    assert len((await served.stub.Search(search(model=new))).shards[0].hits) == 1
    assert len((await served.stub.Search(search())).shards[0].hits) == 1
    assert (await refused(served.stub.DropModel, pb.DropModelRequest(model=new)))[0] is StatusCode.FAILED_PRECONDITION
    await served.stub.DropModel(pb.DropModelRequest(model=MODEL))
    code, _ = await refused(served.stub.Search, search())
    assert code is StatusCode.FAILED_PRECONDITION


SEARCHES: dict[str, tuple[pb.SearchRequest, str]] = {
    "no vector": (search(vector=b""), "vector: has 0 bytes; expected the model's float32 numbers"),
    "short vector": (search(vector=unit(0, 15).tobytes()), f"vector: has 15 numbers; {MODEL} has 16"),
    "half a number": (
        search(vector=unit(0).tobytes()[:-1]),
        "vector: has 63 bytes; expected the model's float32 numbers",
    ),
    "NaN": (search(vector=numbers(1.0, np.nan)), "vector: number 1 is nan"),
    "infinity": (search(vector=numbers(np.inf)), "vector: number 0 is inf"),
    "zero norm": (search(vector=numbers()), "vector: has length 0"),
    "long": (search(vector=numbers(2.0)), "vector: has length 2"),
    "top_k 0": (search(top_k=0), "top_k: is 0; expected 1 to 1000"),
    "top_k -1": (search(top_k=-1), "top_k: is -1; expected 1 to 1000"),
    "top_k 10^6": (search(top_k=10**6), "top_k: is 1000000; expected 1 to 1000"),
    "unknown category": (search(categories=["shoes", "spaceships"]), "categories[1]: is 'spaceships'"),
    "no model": (search(model=""), "model: is ''; expected name@version"),
    "no version": (search(model="embedder-lite0"), "model: is 'embedder-lite0'; expected name@version"),
    "two models spelt alike": (search(model="embedder--lite0@1"), "model: is 'embedder--lite0@1'"),
    "strange model": (search(model='a"; drop@1'), "model: is "),
    "endless model": (search(model="a" * 200 + "@1"), "model: is "),
}


@pytest.mark.parametrize("name", SEARCHES)
async def test_wrong_searches_name_the_field(served: Served, name: str) -> None:
    await served.stub.Upsert(upsert(record(0)))
    request, message = SEARCHES[name]
    code, details = await refused(served.stub.Search, request)
    assert (code, details[: len(message)]) == (StatusCode.INVALID_ARGUMENT, message)


UPSERTS: dict[str, tuple[pb.UpsertRequest, str]] = {
    "nothing": (upsert(), "records: has 0 entries; expected 1 to 1000"),
    "too much": (upsert(*[record(0)] * 1001), "records: has 1001 entries; expected 1 to 1000"),
    "duplicate": (upsert(record(0), record(1), record(0)), "records[2].image_id: 'image-0' comes 2 times, at 0, 2"),
    "no id": (upsert(record(0), record(1, image_id="")), "records[1].image_id: is empty"),
    "long id": (upsert(record(1, image_id="x" * 129)), "records[0].image_id: has 129 characters"),
    "white space": (upsert(record(1, image_id="a b")), "records[0].image_id: contains ' '"),
    "no product": (upsert(record(1, product_id="")), "records[0].product_id: is empty"),
    "bad style": (upsert(record(1, style_id="\n")), "records[0].style_id: contains '\\n'"),
    "no category": (upsert(record(1, category="")), "records[0].category: is ''; expected one of shoes"),
    "NaN": (upsert(record(0), record(1, vector=numbers(np.nan))), "records[1].vector: number 0 is nan"),
    "zero norm": (upsert(record(0), record(1, vector=numbers())), "records[1].vector: has length 0"),
    "no vector": (upsert(record(0, vector=b"")), "records[0].vector: has 0 bytes"),
    "odd vector": (upsert(record(0), record(1, vector=unit(1, 17).tobytes())), "records[1].vector: has 68 bytes"),
    "no model": (upsert(record(0), model=""), "model: is ''"),
}


@pytest.mark.parametrize("name", UPSERTS)
@pytest.mark.parametrize("stocked", [False, True])
async def test_wrong_upserts_name_the_field_and_store_nothing(served: Served, name: str, stocked: bool) -> None:
    if stocked:
        await served.stub.Upsert(upsert(record(8)))
    request, message = UPSERTS[name]
    code, details = await refused(served.stub.Upsert, request)
    assert (code, details[: len(message)]) == (StatusCode.INVALID_ARGUMENT, message)
    missing = await served.stub.FindMissing(pb.FindMissingRequest(image_ids=IDS[:8], model=MODEL))
    assert list(missing.image_ids) == IDS[:8]


async def test_wrong_lists_of_ids(served: Served) -> None:
    for make, call in (
        (lambda ids: pb.DeleteRequest(image_ids=ids), served.stub.Delete),
        (lambda ids: pb.FindMissingRequest(image_ids=ids, model=MODEL), served.stub.FindMissing),
    ):
        for ids, message in (
            ([], "image_ids: has 0 entries; expected 1 to 1000"),
            (["a"] * 1001, "image_ids: has 1001 entries; expected 1 to 1000"),
            (["a", ""], "image_ids[1]: is empty"),
        ):
            code, details = await refused(call, make(ids))
            assert (code, details[: len(message)]) == (StatusCode.INVALID_ARGUMENT, message)


async def test_a_thousand_records_fit(served: Served) -> None:
    vector = unit(0).tobytes()
    records = [pb.VectorRecord(image_id=f"i{i}", product_id="p", category="toys", vector=vector) for i in range(1000)]
    await served.stub.Upsert(upsert(*records))
    missing = await served.stub.FindMissing(
        pb.FindMissingRequest(image_ids=[f"i{i}" for i in range(1000)], model=MODEL)
    )
    assert not missing.image_ids

"""What the shards tell of themselves."""

from __future__ import annotations

from prometheus_client import REGISTRY

from services.search.metrics import ShardMetrics, observe_answers
from shiwu.chassis.errors import UnavailableError

from .stores import MODEL, SHARDS, mortal_index, record, unit


def told(metrics: ShardMetrics) -> dict[str, float]:
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for metric in metrics.collect()
        for sample in metric.samples
    }


async def test_pictures_are_told_by_shard_and_model_once_counted() -> None:
    index, _ = mortal_index()
    await index.upsert(MODEL, [record(number) for number in range(44)])
    metrics = ShardMetrics(index)
    assert told(metrics) == {f"shiwu_shard_up {shard}": 1 for shard in SHARDS}
    await metrics.count()
    images = {name: value for name, value in told(metrics).items() if "images" in name}
    assert set(images) == {f"shiwu_shard_images {shard} {MODEL} true" for shard in SHARDS}
    assert sum(images.values()) == 44


async def test_a_lost_shard_is_down_and_its_pictures_are_not_told() -> None:
    index, stores = mortal_index()
    await index.upsert(MODEL, [record(number) for number in range(44)])
    metrics = ShardMetrics(index)
    first = next(iter(SHARDS))
    stores[first].state = "down"
    before = errors(first)
    observe_answers(await index.search(MODEL, unit(0), top_k=5))
    await metrics.count()
    assert told(metrics)[f"shiwu_shard_up {first}"] == 0
    assert [name for name in told(metrics) if f"images {first} " in name] == []
    assert errors(first) == before + 1
    assert isinstance(index.lost[first], UnavailableError)


def errors(shard: str) -> float:
    labels = {"shard": shard, "outcome": "error"}
    return REGISTRY.get_sample_value("shiwu_shard_search_seconds_count", labels) or 0.0

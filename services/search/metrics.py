"""What the shards do: whether they answer, how fast, and how many pictures of which model they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import Histogram, Metric
from prometheus_client.core import GaugeMetricFamily

from services.search.index import ShardAnswer, ShardedIndex
from services.search.operations import ShardState
from shiwu.chassis.metrics import BUCKETS, exemplar

_SEARCH = Histogram(
    "shiwu_shard_search_seconds", "Duration of searches of a shard.", ("shard", "outcome"), buckets=BUCKETS
)


def observe_answers(answers: Sequence[ShardAnswer]) -> None:
    """Records how long each shard took."""
    trace = exemplar()
    for answer in answers:
        _SEARCH.labels(answer.shard, "ok" if answer.error is None else "error").observe(answer.seconds, trace)


class ShardMetrics:
    """The state of the shards. Pictures are counted by the stores, so that is not done at every scrape."""

    def __init__(self, index: ShardedIndex) -> None:
        self._index = index
        self._states: Sequence[ShardState] = ()

    async def count(self) -> None:
        """Has the pictures counted."""
        self._states = await self._index.describe()

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "shiwu_shard_up", "1 while searches ask the shard, 0 while it is lost.", labels=["shard"]
        )
        for shard, lost in self._index.lost.items():
            up.add_metric([shard], float(lost is None))
        yield up
        images = GaugeMetricFamily(
            "shiwu_shard_images",
            "Pictures of a model (name@version) in a shard; serving: searches are answered from them.",
            labels=["shard", "model", "serving"],
        )
        for state in self._states:
            for index, count in state.indexes:
                images.add_metric([state.shard.name, index.model, str(index.serving).lower()], count)
        yield images

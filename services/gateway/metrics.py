"""What scans come to, told by what the domain returns anyway: the stages of a scan, its answer, the gaps it leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, get_args

from prometheus_client import Counter, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from services.gateway.answer import Answer, Outcome
from services.gateway.cropping import CropSource
from services.gateway.gaps import GapRecorder
from services.gateway.progress import Progress
from shiwu.chassis.metrics import BUCKETS, exemplar

_STAGES: Final = ("decode", "detect", "embed", "search", "regions", "vote", "rerank", "verify", "describe")
_PARTS: Final = ("detector", "embedder", "search", "classifier", "rerank", "catalog")

_STAGE = Histogram("shiwu_scan_stage_seconds", "Duration of the stages of a scan.", ("stage",), buckets=BUCKETS)
_ANSWERS = Counter("shiwu_scan_answers_total", "Answers; partial: a part was missing.", ("outcome", "partial"))
_MISSING = Counter("shiwu_scan_missing_total", "Answers that a part was missing from.", ("part",))
_CROPS = Counter("shiwu_scan_crops_total", "Answers by what of the photo was searched for.", ("source",))
_CONFIDENCE = Histogram(
    "shiwu_scan_confidence",
    "Probability that the best product is the right one, of answers with one.",
    buckets=[tenth / 10 for tenth in range(1, 11)],
)

# Made once: a lookup of labels costs as much as what it is for. And what is at 0 shows that it is looked at.
_answers: Mapping[tuple[str, bool], Counter] = {
    (outcome, partial): _ANSWERS.labels(outcome, str(partial).lower())
    for outcome in get_args(Outcome)
    for partial in (False, True)
}
_crops: Mapping[str, Counter] = {source: _CROPS.labels(source) for source in get_args(CropSource)}


@cache
def _stage(name: str) -> Histogram:
    return _STAGE.labels(name)


for _name in _STAGES:
    _stage(_name)
for _name in _PARTS:
    _MISSING.labels(_name)


def observe_stages(progress: Progress) -> None:
    """Records how long each stage of a scan took, also of one that failed."""
    trace = exemplar()
    for stage in progress.stages:
        _stage(stage.name).observe(stage.elapsed, trace)


def observe_answer(answer: Answer[Any]) -> None:
    """Records an answer that is given. Which shard was missing, the search service says of itself."""
    _answers[answer.outcome, bool(answer.missing)].inc()
    for part in {each.part.partition("/")[0] for each in answer.missing}:
        _MISSING.labels(part).inc()
    _crops[answer.choice.source].inc()
    if answer.styles:
        _CONFIDENCE.observe(answer.confidence)


def gap_metrics(gaps: GapRecorder) -> Iterator[Metric]:
    """Scans that found nothing, or the wrong thing, on their way to the catalogue."""
    counted = CounterMetricFamily("shiwu_gaps", "Gaps by whether the catalogue has them.", labels=("outcome",))
    for outcome in ("kept", "dropped", "forgotten"):
        counted.add_metric([outcome], gaps.outcomes[outcome])
    yield counted
    yield GaugeMetricFamily("shiwu_gaps_waiting", "Gaps that wait to be kept.", gaps.waiting)

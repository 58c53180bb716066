"""What a scan came to, in numbers."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY
from prometheus_client.samples import Sample

from services.gateway.answer import Answer
from services.gateway.candidates import StyleHit
from services.gateway.cropping import Choice
from services.gateway.metrics import gap_metrics, observe_answer, observe_stages
from services.gateway.ports import Box
from services.gateway.progress import Missing, Progress
from shiwu.chassis.errors import UnavailableError
from tests.unit.gateway.test_gaps import gap, recorder
from tests.unit.gateway.world import DictCatalog, tile


def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def changes(before: dict) -> dict[str, float]:
    return {
        f"{name}{dict(labels)}": value - before.get((name, labels), 0.0)
        for (name, labels), value in samples().items()
        if name.startswith("shiwu_scan") and value != before.get((name, labels), 0.0)
    }


CHOICE = Choice((), Box(0, 0, 1, 1), "centre")


def test_an_answer_is_counted_by_outcome_region_and_what_was_missing() -> None:
    missing = [Missing(part, "down", "") for part in ("search/things", "search/wear", "catalog")]
    before = samples()
    observe_answer(Answer(CHOICE, missing, "d@1", outcome="matched", confidence=0.93, styles=[StyleHit("s", [])]))
    seen = {name: value for name, value in changes(before).items() if "bucket" not in name}
    assert seen == {
        "shiwu_scan_answers_total{'outcome': 'matched', 'partial': 'true'}": 1,
        "shiwu_scan_missing_total{'part': 'search'}": 1,  # which shard, would be a label that a shard map makes up
        "shiwu_scan_missing_total{'part': 'catalog'}": 1,
        "shiwu_scan_crops_total{'source': 'centre'}": 1,
        "shiwu_scan_confidence_count{}": 1,
        "shiwu_scan_confidence_sum{}": pytest.approx(0.93),
    }


def test_an_answer_without_a_product_has_no_confidence() -> None:
    before = samples()
    observe_answer(Answer(CHOICE, [], "d@1", outcome="undecided"))
    assert changes(before) == {
        "shiwu_scan_answers_total{'outcome': 'undecided', 'partial': 'false'}": 1,
        "shiwu_scan_crops_total{'source': 'centre'}": 1,
    }


def test_every_stage_of_a_failed_scan_is_timed_too() -> None:
    progress = Progress(5.0)
    with pytest.raises(UnavailableError), progress.stage("detect"):
        raise UnavailableError("down")
    before = samples()
    observe_stages(progress)
    assert changes(before)["shiwu_scan_stage_seconds_count{'stage': 'detect'}"] == 1


async def test_gaps_are_counted_by_what_became_of_them() -> None:
    catalog = DictCatalog()
    async with recorder(catalog, waiting=2) as gaps:
        for i in range(5):
            gaps.offer(gap(f"s{i}"), tile(1))
        assert told(gaps)["shiwu_gaps_waiting"] == 2
        gaps.refused("of another gateway")
    assert told(gaps) == {
        "shiwu_gaps_total kept": 2,
        "shiwu_gaps_total dropped": 3,
        "shiwu_gaps_total forgotten": 1,
        "shiwu_gaps_waiting": 0,
    }
    catalog.error = UnavailableError("down")
    async with recorder(catalog) as gaps:
        gaps.offer(gap("lost"), tile(1))
    assert told(gaps)["shiwu_gaps_total dropped"] == 1


def told(gaps) -> dict[str, float]:
    found: list[Sample] = [sample for metric in gap_metrics(gaps) for sample in metric.samples]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in found}

"""The short form of `python -m evaluation.chaos`: each fault once. `make chaos` runs it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evaluation.chaos.campaign import Campaign, Report
from evaluation.chaos.faults import EMBEDDED, ON_CLUSTER, ON_SERVERS
from evaluation.chaos.site import embedded, on_cluster, on_servers

pytestmark = pytest.mark.chaos

SITES = {"servers": (on_servers, ON_SERVERS), "cluster": (on_cluster, ON_CLUSTER), "embedded": (embedded, EMBEDDED)}
FAULTS = [(site, fault.name) for site, (_, faults) in SITES.items() for fault in faults]
# One search or catalog is lost for as long as it restarts; of the others there are two.
ROLLING = [f"{service} restarted" for service in ("gateway", "detector", "embedder", "classifier")]


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    found = {}
    for name, (site, faults) in SITES.items():
        with site(Path(tmp_path_factory.mktemp(name))) as running:
            found[name] = asyncio.run(Campaign(running, rate=4.0, hold_seconds=1.0).run(faults))
    return found


@pytest.mark.timeout(420)  # the first one runs the campaign
@pytest.mark.parametrize(("site", "fault"), FAULTS)
def test_no_answer_is_wrong(reports: dict[str, Report], site: str, fault: str) -> None:
    if fault in reports[site].skipped:
        pytest.skip("this machine does not allow it")
    (outcome,) = [each for each in reports[site].outcomes if each.fault == fault]
    assert outcome.scans
    assert not outcome.stuck, outcome.reasons()
    assert [scan.detail for scan in outcome.scans if scan.verdict in {"wrong", "hung"}] == []


@pytest.mark.parametrize("fault", ROLLING)
def test_a_rolling_restart_costs_no_scan(reports: dict[str, Report], fault: str) -> None:
    (outcome,) = [each for each in reports["servers"].outcomes if each.fault == fault]
    assert [(scan.verdict, scan.detail) for scan in outcome.scans if scan.verdict != "whole"] == []


@pytest.mark.parametrize("site", SITES)
def test_nothing_acknowledged_is_lost(reports: dict[str, Report], site: str) -> None:
    assert min(reports[site].acknowledged.values()) > 0, reports[site].acknowledged
    assert reports[site].lost == []


@pytest.mark.parametrize("site", SITES)
def test_all_is_as_before_in_the_end(reports: dict[str, Report], site: str) -> None:
    assert [(scan.verdict, scan.detail) for scan in reports[site].changed] == []

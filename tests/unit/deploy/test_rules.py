"""The alert rules: Prometheus reads them, each fires when it should and only then, and the runbook has each."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.catalog.settings import Settings as CatalogSettings
from services.detector.settings import Settings as DetectorSettings
from services.gateway.settings import Settings as GatewaySettings
from shiwu.chassis.metrics import BUCKETS
from tests.prometheus_server import program

RULES = sorted(Path("deploy/k8s/shiwu/files/rules").glob("*.yaml"))
CASES = sorted(Path(__file__).with_name("rules").glob("*.yaml"))
RUNBOOK = Path("docs/runbook.md")


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def promtool(*arguments: str | Path) -> None:
    result = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_reads_the_rules() -> None:
    assert RULES
    promtool("check", "rules", "--lint-fatal", *RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(case: Path) -> None:
    promtool("test", "rules", case)


def test_every_alert_is_tried_firing_and_silent() -> None:
    tried: set[tuple[str, bool]] = set()
    for case in CASES:
        for test in yaml.safe_load(case.read_text(encoding="utf-8"))["tests"]:
            tried |= {(each["alertname"], bool(each["exp_alerts"])) for each in test["alert_rule_test"]}
    assert tried == {(name, fires) for name in ALERTS for fires in (True, False)}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_it_is_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_the_runbook_has_a_section_for_every_alert_and_no_other() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    sections = {part.split("\n", 1)[0]: part for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]}
    assert sections.keys() == ALERTS.keys()
    for name, section in sections.items():
        assert re.findall(r"^\*\*([^*]+)\.\*\*", section, flags=re.MULTILINE) == ["Users", "Look", "Do", "Wake"], name
        assert section.startswith(f"{name}\n\n{ALERTS[name]['labels']['severity'].capitalize()}. "), name
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)}
    assert set(re.findall(r"\(#([^)]+)\)", text)) <= headings


def test_the_settings_that_the_runbook_names_exist() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    services = {"GATEWAY": GatewaySettings, "CATALOG": CatalogSettings, "DETECTOR": DetectorSettings}
    settings = re.findall(r"\b(GATEWAY|CATALOG|DETECTOR)_([A-Z_]+)\b", text)
    assert len(settings) > 4
    for service, name in settings:
        model: Any = services[service]
        for part in name.lower().split("__"):
            model = model.model_fields[part].annotation


def test_what_the_rules_count_slow_is_the_end_of_a_bucket() -> None:
    ends = {float(end) for rule in rules() for end in re.findall(r'\ble="([^"]+)"', rule["expr"])}
    assert ends == {0.5}
    assert ends <= set(BUCKETS)

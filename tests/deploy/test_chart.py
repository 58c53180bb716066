"""The chart lints and renders, and refuses what it cannot do."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from evaluation.programs import environment
from shiwu.inference.released import DETECTOR, EMBEDDER
from tests.deploy.chart import CHART, VALUES, helm, manifests, named, of_kind, render
from tests.deploy.test_settings import SERVICES

_FOREIGN = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, of which kubernetes-validate has no schema."""


@pytest.mark.parametrize("values", VALUES)
def test_the_chart_lints(values: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(CHART / "ci" / f"{values}.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.34", "1.37"])
def test_the_api_server_would_know_every_field(version: str, tmp_path: Path) -> None:
    files = []
    for values in VALUES:
        files.append(tmp_path / f"{values}.yaml")
        known = [each for each in manifests(values) if each["kind"] not in _FOREIGN]
        files[-1].write_text(yaml.safe_dump_all(known))
    programs = environment("kubernetes-validate-1.37.0", ["kubernetes-validate==1.37.0"]) / "bin"
    validator = (str(programs / "python"), str(programs / "kubernetes-validate"))
    command = [*validator, "--kubernetes-version", version, "--strict", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed for ") == sum(
        each["kind"] not in _FOREIGN for values in VALUES for each in manifests(values)
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("gateway.replica=3", ["'/gateway'", "'replica' not allowed"]),
        ("gatway.replicas=3", ["'gatway' not allowed"]),
        ("gateway.replicas=0", ["'/gateway/replicas'", "minimum: got 0, want 1"]),
        ("gateway.settings.DETECTOR_MODEL=x", ["'/gateway/settings'", "'DETECTOR_MODEL' not allowed"]),
        ("detector.resources.requests.cpu=much", ["'/detector/resources/requests/cpu'", "'much' does not match"]),
        ("embedder.resources.limits.memory=null", ["'/embedder/resources/limits'", "missing property 'memory'"]),
        ("models.source=hub", ["'/models/source'", "'init', 'image', 'claim'"]),
        ("image.digests.gateway=latest", ["'/image/digests/gateway'", "does not match"]),
        ("milvus.endpoint=milvus:19530", ["'/milvus/endpoint'", "https?://"]),
        ("search.shards[0].categories[0]=cars", ["'/search/shards/0/categories/0'", "'shoes', 'bags'"]),
        ("milvus.bundled.image=milvusdb/milvus", ["'/milvus/bundled/image'", "does not match"]),
        ("database.secret=", ["'/database/secret'", "minLength: got 0, want 1"]),
        ("milvus.endpoint=", ["shard fashion has no Milvus: set milvus.endpoint, milvus.bundled.enabled or"]),
        ("models.source=claim", ["models.source is claim: set models.claim"]),
        ("triton.enabled=true", ["triton.enabled without triton.endpoint: set triton.bundled.claim"]),
        ("access.services={catalog},access.keys.secret=keys", ["names catalog: the mesh's own calls to it need tls"]),
        ("search.autoscaling.enabled=true,search.autoscaling.cpu=null", ["search.autoscaling needs cpu, pods or both"]),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_the_reason(wrong: str, words: list[str]) -> None:
    minimal = str(CHART / "ci/minimal.yaml")
    done = helm("template", "shiwu", str(CHART), "--values", minimal, "--set", wrong)
    assert done.returncode != 0
    assert not [word for word in words if word not in done.stderr], done.stderr


def test_no_object_of_values_takes_unknown_keys() -> None:
    def open_objects(node: object, path: str) -> list[str]:
        if isinstance(node, list):
            return [found for i, each in enumerate(node) for found in open_objects(each, f"{path}/{i}")]
        if not isinstance(node, dict):
            return []
        is_open = "properties" in node and node.get("additionalProperties") is not False
        return [path] * is_open + [
            found for name, each in node.items() for found in open_objects(each, f"{path}/{name}")
        ]

    schema = json.loads((CHART / "values.schema.json").read_text())
    assert open_objects(schema, "") == []
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values.keys() == schema["properties"].keys() - {"global"}


def test_the_default_models_are_those_that_services_load_without_a_chart() -> None:
    models = yaml.safe_load((CHART / "values.yaml").read_text())["models"]
    assert (models["detector"], models["embedders"]) == (DETECTOR, [EMBEDDER])


def test_a_tag_or_a_digest_names_each_image() -> None:
    def image(values: str, service: str) -> str:
        return named(values, "Deployment", f"shiwu-{service}")["spec"]["template"]["spec"]["containers"][0]["image"]

    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    for number, service in enumerate(SERVICES, 1):
        assert image("minimal", service) == f"registry.example/shiwu/{service}:{version}"
        assert image("production", service) == f"registry.example/production/{service}@sha256:{number:064}"


def test_the_autoscaler_owns_the_number_of_replicas() -> None:
    assert named("minimal", "Deployment", "shiwu-gateway")["spec"]["replicas"] == 2
    assert not of_kind("minimal", "HorizontalPodAutoscaler")
    assert "replicas" not in named("production", "Deployment", "shiwu-gateway")["spec"]
    scaler = named("everything", "HorizontalPodAutoscaler", "shiwu-embedder")["spec"]
    assert [metric["type"] for metric in scaler["metrics"]] == ["Pods"]
    assert scaler["metrics"][0]["pods"]["target"] == {"type": "AverageValue", "averageValue": "20m"}


def test_rules_and_dashboards_are_taken_as_they_are(tmp_path: Path) -> None:
    chart = tmp_path / "shiwu"
    shutil.copytree(CHART, chart)
    rule = '{alert: A, expr: "up == 0", annotations: {summary: "{{ $labels.x }}"}}'
    rules = f"groups:\n  - name: a\n    rules:\n      - {rule}\n"
    for folder, files in {"rules": ["one.yaml", "two.yaml"], "dashboards": ["scans.json"]}.items():
        shutil.rmtree(chart / "files" / folder, ignore_errors=True)
        (chart / "files" / folder).mkdir(parents=True)
        for file in files:
            (chart / "files" / folder / file).write_text(rules if folder == "rules" else '{\n "title": "{{x}}"\n}\n')
    made = [each for each in yaml.safe_load_all(render("everything", chart=chart)) if each]
    found = {each["metadata"]["name"]: each for each in made if each["kind"] == "PrometheusRule"}
    assert found.keys() == {"shiwu-one", "shiwu-two"}
    assert found["shiwu-one"]["spec"] == yaml.safe_load(rules)
    assert found["shiwu-one"]["metadata"]["labels"]["release"] == "prometheus"
    (dashboard,) = (each for each in made if each["metadata"]["name"] == "shiwu-dashboard-scans")
    assert json.loads(dashboard["data"]["scans.json"]) == {"title": "{{x}}"}
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_without_rules_and_dashboards_there_are_none(tmp_path: Path) -> None:
    chart = tmp_path / "shiwu"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("files"))
    made = [each for each in yaml.safe_load_all(render("everything", chart=chart)) if each]
    assert not [each for each in made if each["kind"] == "PrometheusRule" or "dashboard" in each["metadata"]["name"]]


def test_the_packaged_chart_renders_the_same(tmp_path: Path) -> None:
    done = helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("shiwu-*.tgz")
    assert render("everything", chart=archive) == render("everything")

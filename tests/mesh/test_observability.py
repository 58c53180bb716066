"""What the mesh tells of itself, to a real Prometheus and a real OTLP collector."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from evaluation.canary_set import write
from evaluation.processes import free_ports
from shiwu.cli.mesh import SERVICES
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.v1.catalog_resources_pb2 import VERDICT_RIGHT
from shiwu.v1.gateway_pb2 import SendFeedbackRequest
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from tests.demo_mesh import ABSENT, STOCK, DemoMesh, eventually
from tests.otlp_collector import Collector, Received
from tests.prometheus_server import PrometheusServer, running_prometheus

FILES = Path("deploy/k8s/shiwu/files")
RULES = sorted((FILES / "rules").glob("*.yaml"))
DASHBOARDS = sorted((FILES / "dashboards").glob("*.json"))


@pytest.fixture(scope="module")
def canary_port(demo: DemoMesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A canary over some of the stocked products, and one that is absent, round after round."""
    keys = ("instant-camera", "basketball", "laptop", ABSENT)
    folder = tmp_path_factory.mktemp("canary")
    write([demo.products[key] for key in keys], folder, absent={ABSENT})
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "shiwu.cli", "canary", "--photos", str(folder), "--every", "1"]
    command += ["--metrics-port", str(port), "--gateway", demo.mesh.layout.target("gateway")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(scope="module")
def prometheus(
    demo: DemoMesh, metrics_ports: dict[str, int], canary_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    """Has scraped everything long enough for rates, while scans went on."""
    targets = {**metrics_ports, "canary": canary_port}
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), targets, RULES) as server:
        eventually(lambda: all(target["health"] == "up" for target in server.targets()))
        with pytest.raises(grpc.RpcError):
            demo.scan(b"no picture")
        eventually(lambda: finite(server, "shiwu_canary_last_success_timestamp_seconds"))
        eventually(lambda: finite(server, "rate(shiwu_canary_scan_seconds_count[1m]) > 0"))
        eventually(lambda: all(finite(server, name) for name in recorded()))
        eventually(lambda: finite(server, "min(count_over_time(up[1m])) > 1"))  # a rate needs two samples
        yield server


def finite(server: PrometheusServer, expression: str) -> bool:
    """Whether a query gives a sample that is a number."""
    return any(sample["value"][1] not in ("NaN", "+Inf", "-Inf") for sample in server.query(expression))


def rules() -> list[dict[str, str]]:
    """Every rule of every file."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def recorded() -> list[str]:
    """The series that rules make, one after the other."""
    return [rule["record"] for rule in rules() if "record" in rule]


def panels(path: Path) -> Iterator[tuple[str, str]]:
    """Title and expression of every query of a dashboard, with Grafana's variables as Grafana would put them in."""
    for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def test_every_panel_of_every_dashboard_has_data(prometheus: PrometheusServer) -> None:
    assert len(DASHBOARDS) == 3
    queries = [(path.stem, *panel) for path in DASHBOARDS for panel in panels(path)]
    assert len(queries) > 30
    empty = [query for query in queries if not finite(prometheus, query[2])]
    assert empty == []


def test_every_rule_is_evaluated_without_an_error_and_none_fires(prometheus: PrometheusServer) -> None:
    groups = json.load(urllib.request.urlopen(f"{prometheus.url}/api/v1/rules"))["data"]["groups"]
    loaded = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in loaded} == {"ok"}
    # Whether scans are slow is this machine's matter.
    firing = [rule["name"] for rule in loaded if rule.get("state") == "firing"]
    assert [name for name in firing if not name.startswith("ScanLatency")] == []


def test_every_name_in_a_rule_or_panel_is_a_metric_of_the_mesh(prometheus: PrometheusServer) -> None:
    expressions = [expression for path in DASHBOARDS for _, expression in panels(path)]
    expressions += [rule["expr"] for rule in rules()]
    used = {name for expression in expressions for name in metric_names(expression)}
    assert len(used) > 25
    assert used - prometheus.names() == set()


def metric_names(expression: str) -> set[str]:
    """The metrics in an expression: what is left without strings, labels, durations, functions and operators."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|group_left)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"[A-Za-z_:][\w:]*(?![\w:]*\s*\()", bare)) - {"and", "or"}


def test_a_slow_bucket_leads_to_the_trace_of_a_scan(prometheus: PrometheusServer, collector: Collector) -> None:
    selector = 'grpc_server_handling_seconds_bucket{grpc_method="Scan"}'
    eventually(lambda: bool(prometheus.exemplars(selector)))
    traces = {exemplar["labels"]["trace_id"] for exemplar in prometheus.exemplars(selector)}
    eventually(lambda: traces <= collector.traces.keys())
    stages = prometheus.exemplars('shiwu_scan_stage_seconds_bucket{stage="search"}')
    assert {exemplar["labels"]["trace_id"] for exemplar in stages} & collector.traces.keys()


def test_a_scan_is_one_trace_over_all_six_services(demo: DemoMesh, collector: Collector) -> None:
    before = set(collector.traces)
    demo.scan(demo.photo("football"))

    def whole() -> list[list[Received]]:
        new = [spans for trace, spans in collector.traces.items() if trace not in before]
        return [spans for spans in new if {span.service for span in spans} == set(SERVICES)]

    eventually(lambda: bool(whole()))
    spans = whole()[0]
    [root] = [span for span in spans if not span.parent_id]
    assert (root.service, root.name) == ("gateway", "shiwu.v1.GatewayService/Scan")
    inner = [span for span in spans if span is not root]
    assert {span.parent_id for span in inner} == {root.span_id}
    assert {span.name.split("/")[1] for span in inner} >= {"Detect", "Embed", "Search", "Vote", "Describe"}
    # One machine, one clock: what the gateway waits for lies within its own span.
    assert all(root.start <= span.start and span.end <= root.end for span in inner if span.service != "catalog")


def test_what_a_caller_began_goes_on_in_the_mesh(demo: DemoMesh, collector: Collector) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    header = (("traceparent", f"00-{trace}-{parent}-01"),)
    with grpc.insecure_channel(demo.mesh.layout.target("gateway")) as channel:
        feedback = SendFeedbackRequest(scan_id="a-scan", verdict=VERDICT_RIGHT)
        GatewayServiceStub(channel).SendFeedback(feedback, metadata=header, timeout=10)
    eventually(lambda: len(collector.traces[trace]) == 2)
    gateway, catalog = sorted(collector.traces[trace], key=lambda span: span.start)
    assert (gateway.parent_id, gateway.service) == (parent, "gateway")
    assert (catalog.parent_id, catalog.service) == (gateway.span_id, "catalog")


LABELS = {
    *("grpc_type", "grpc_service", "grpc_method", "grpc_code", "service", "version", "le", "state"),
    *("stage", "outcome", "partial", "part", "source", "model", "shard", "serving", "operation"),
    *("generation", "implementation", "major", "minor", "patchlevel"),  # of prometheus_client's own
}


def test_labels_are_few_and_none_is_what_a_caller_wrote(demo: DemoMesh, metrics_ports: dict[str, int]) -> None:
    for key in STOCK:
        demo.scan(demo.photo(key, seed=9))
    with grpc.insecure_channel(demo.mesh.layout.target("gateway")) as channel:
        for name in ("Scam", "../etc/passwd", "x" * 200):
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(f"/shiwu.v1.GatewayService/{name}")(b"", timeout=5)
    for service, port in metrics_ports.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            families = list(text_string_to_metric_families(response.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        values: defaultdict[str, set[str]] = defaultdict(set)
        for sample in samples:
            for label, value in sample.labels.items():
                values[label].add(value)
        assert values.keys() <= LABELS, service
        assert {label: found for label, found in values.items() if label != "le" and len(found) > 50} == {}, service
        assert not {value for found in values.values() for value in found} & {"Scam", "passwd", "x" * 200, *STOCK}
        assert len(samples) < 1500, service


def test_what_the_domain_did_is_counted(demo: DemoMesh, prometheus: PrometheusServer) -> None:
    assert prometheus.value('sum(shiwu_shard_images{serving="true"})') >= len(STOCK)
    assert prometheus.value("min(shiwu_shard_up)") == 1
    assert prometheus.value("shiwu_index_pending_images") == 0
    assert prometheus.value('shiwu_import_rows_total{outcome="imported"}') >= 3 * len(STOCK)
    assert prometheus.value("shiwu_canary_recall") == 1
    assert prometheus.value('sum(shiwu_scan_answers_total{outcome="matched", partial="false"})') > 0
    assert {sample["metric"]["service"] for sample in prometheus.query("service_build_info")} == {*SERVICES, "canary"}
    models = {sample["metric"]["model"].partition("@")[0] for sample in prometheus.query("shiwu_model_info")}
    assert models == {DETECTOR, EMBEDDER}

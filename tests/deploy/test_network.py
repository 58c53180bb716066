"""The network policies allow the calls that the services' settings say there are, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.chart import NAMESPACE, VALUES, Manifest, component, of_kind, pod, render, workloads
from tests.deploy.test_settings import SERVICES, peers

_PORTS = dict(zip(SERVICES, range(50050, 50056), strict=True))
_METRICS, _DNS = 9090, 53
_FOREIGN = {"app.kubernetes.io/name": "prometheus"}
Flow = tuple[str, str, int]


def _policies(values: str, workload: Manifest, direction: str) -> list[Manifest]:
    labels = pod(workload)["metadata"]["labels"]
    return [
        each["spec"]
        for each in of_kind(values, "NetworkPolicy")
        if each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        and direction in each["spec"]["policyTypes"]
    ]


def _allows(rule: Manifest, side: str, port: int, labels: dict[str, str], namespace: str) -> bool:
    if port not in [each["port"] for each in rule["ports"]]:
        return False
    if side not in rule:
        return True
    return any(_is_peer(peer, labels, namespace) for peer in rule[side])


def _is_peer(peer: Manifest, labels: dict[str, str], namespace: str) -> bool:
    if "ipBlock" in peer:
        return False  # of addresses outside
    if "namespaceSelector" in peer:
        wanted = peer["namespaceSelector"].get("matchLabels", {})
        if not wanted.items() <= {"kubernetes.io/metadata.name": namespace}.items():
            return False
    elif namespace != NAMESPACE:
        return False
    return peer.get("podSelector", {}).get("matchLabels", {}).items() <= labels.items()


def _flows(values: str) -> Iterator[Flow]:
    """What may flow between pods of the release: both sides' policies must allow it."""
    ports = sorted(
        {
            port["containerPort"]
            for each in workloads(values)
            for c in pod(each)["spec"]["containers"]
            for port in c.get("ports", [])
        }
    )
    for source in workloads(values):
        for target in workloads(values):
            for port in ports:
                goes = any(
                    _allows(rule, "to", port, pod(target)["metadata"]["labels"], NAMESPACE)
                    for policy in _policies(values, source, "Egress")
                    for rule in policy.get("egress") or []
                )
                comes = any(
                    _allows(rule, "from", port, pod(source)["metadata"]["labels"], NAMESPACE)
                    for policy in _policies(values, target, "Ingress")
                    for rule in policy.get("ingress") or []
                )
                if goes and comes:
                    yield component(source), component(target), port


@pytest.mark.parametrize("values", VALUES)
def test_every_pod_is_closed_but_for_what_is_allowed(values: str) -> None:
    for workload in workloads(values):
        for direction in ("Ingress", "Egress"):
            assert _policies(values, workload, direction), f"{component(workload)} is open"


@pytest.mark.parametrize("values", VALUES)
def test_exactly_the_calls_of_the_mesh_are_allowed(values: str) -> None:
    expected = {(caller, peer, _PORTS[peer]) for caller in SERVICES for peer in peers(caller)}
    if values == "everything":
        expected |= {("catalog", "database", 5432), ("search", "milvus", 19530)}
        expected |= {("detector", "triton", 8001), ("embedder", "triton", 8001)}
    flows = set(_flows(values))
    if not any("from" in rule for rule in _rules(values, "gateway", 50050)):
        flows = {(source, target, port) for source, target, port in flows if target != "gateway"}
    assert flows == expected


def _rules(values: str, part: str, port: int) -> list[Manifest]:
    (workload,) = (each for each in workloads(values) if component(each) == part)
    policies = _policies(values, workload, "Ingress")
    return [
        rule for each in policies for rule in each.get("ingress") or [] if port in [p["port"] for p in rule["ports"]]
    ]


@pytest.mark.parametrize("values", VALUES)
def test_from_outside_only_the_gateway_is_reached(values: str) -> None:
    stranger = {"app": "stranger"}
    for namespace in (NAMESPACE, "elsewhere"):
        reached = {
            (component(each), port["containerPort"])
            for each in workloads(values)
            for c in pod(each)["spec"]["containers"]
            for port in c.get("ports", [])
            for rule in _rules(values, component(each), port["containerPort"])
            if _allows(rule, "from", port["containerPort"], stranger, namespace)
        }
        assert reached == (set() if values == "production" else {("gateway", 50050)})
    allowed = _rules("production", "gateway", 50050)
    assert any(_allows(rule, "from", 50050, stranger, "ingress") for rule in allowed)


@pytest.mark.parametrize("values", VALUES)
def test_prometheus_reaches_metrics_alone(values: str) -> None:
    for workload in of_kind(values, "Deployment", "StatefulSet"):
        named = {p["name"]: p["containerPort"] for c in pod(workload)["spec"]["containers"] for p in c["ports"]}
        for name, port in named.items():
            open_to_all = (component(workload), values != "production", name) == ("gateway", True, "grpc")
            reached = any(
                _allows(rule, "from", port, _FOREIGN, "monitoring")
                for rule in _rules(values, component(workload), port)
            )
            assert reached == (name == "metrics" or open_to_all), (component(workload), name)


@pytest.mark.parametrize("values", VALUES)
def test_outside_only_dns_stores_and_what_was_asked_for_are_reached(values: str) -> None:
    expected: dict[str, set[int]] = {service: {_DNS} for service in SERVICES}
    if values != "everything":
        expected["migration"] = {_DNS}
        for part in ("catalog", "migration"):
            expected[part] = expected[part] | {6432 if values == "external" else 5432}
        expected["search"] = {_DNS, 19530} | ({443} if values == "external" else set())
    if values != "external":
        expected["catalog"] |= {80, 443}  # merchants' pictures
    else:
        expected["detector"], expected["embedder"] = {_DNS, 8001}, {_DNS, 8001}
    if values in ("production", "everything"):
        for service in SERVICES:
            expected[service] = expected[service] | {4317}
    if values == "production":
        expected["gateway"] |= {443}  # the issuer's keys
    found = {}
    for workload in workloads(values):
        rules = [rule for each in _policies(values, workload, "Egress") for rule in each.get("egress") or []]
        inside = {"app.kubernetes.io/name": "shiwu", "app.kubernetes.io/instance": "shiwu"}
        found[component(workload)] = {
            port["port"]
            for rule in rules
            if not any(
                inside.items() <= to.get("podSelector", {}).get("matchLabels", {}).items() for to in rule.get("to", [])
            )
            for port in rule["ports"]
        }
    assert {part: ports for part, ports in found.items() if ports} == expected


def test_merchants_pictures_come_from_public_addresses_alone() -> None:
    (catalog,) = (each for each in workloads("minimal") if component(each) == "catalog")
    (rule,) = (
        rule
        for each in _policies("minimal", catalog, "Egress")
        for rule in each.get("egress") or []
        if 80 in [port["port"] for port in rule["ports"]]
    )
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(
        rule["to"][0]["ipBlock"]["except"]
    )


def test_without_network_policies_there_are_none() -> None:
    assert "kind: NetworkPolicy" not in render("minimal", "--set", "networkPolicy.enabled=false")

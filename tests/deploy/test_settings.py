"""What the chart tells the services is what their settings take, and leads to where it should."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
import yaml

from services.search.shards import read_shard_map
from shiwu.chassis.settings import ClientSettings, ServiceSettings, read_settings
from tests.deploy.chart import (
    NAMESPACE,
    VALUES,
    Manifest,
    component,
    containers,
    named,
    of_kind,
    pod,
    render,
    workloads,
)

SERVICES = ("gateway", "detector", "embedder", "classifier", "search", "catalog")
_SECRETS = {"CATALOG_DATABASE_URL": "postgresql+psycopg://shiwu:secret@database:5432/shiwu", "SEARCH_TOKEN": "root:x"}
"""What stands in for the Secrets' values."""


def settings_class(service: str) -> type[ServiceSettings]:
    return importlib.import_module(f"services.{service}.settings").Settings


def environment(container: Manifest) -> dict[str, str]:
    """A container's environment; names must not come twice."""
    names = [variable["name"] for variable in container["env"]]
    assert len(set(names)) == len(names)
    return {each["name"]: each["value"] if "value" in each else _SECRETS[each["name"]] for each in container["env"]}


def own(values: str, service: str) -> Manifest:
    """The container of a service."""
    (container,) = pod(named(values, "Deployment", f"shiwu-{service}"))["spec"]["containers"]
    return container


def read(monkeypatch: pytest.MonkeyPatch, service: str, variables: dict[str, str]) -> ServiceSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return read_settings(settings_class(service))


def peers(service: str) -> set[str]:
    """Whom a service calls: its settings say so."""
    fields = settings_class(service).model_fields
    return {name for name, field in fields.items() if field.annotation is ClientSettings}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("values", VALUES)
def test_a_service_takes_its_environment(values: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    container = own(values, service)
    settings = read(monkeypatch, service, environment(container))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    server = settings.server
    assert (server.host, ports) == (
        "0.0.0.0",
        {"grpc": server.port, "metrics": server.metrics_port, "health": server.health_port},
    )
    for peer in peers(service):
        host, port = re.fullmatch(r"dns:///(.+):(\d+)", getattr(settings, peer).target).groups()
        name, rest = host.split(".", 1)
        target = named(values, "Service", name)
        assert rest == f"{NAMESPACE}.svc.cluster.local"
        assert (component(target), target["spec"]["clusterIP"]) == (peer, "None"), "no address for each pod"
        assert int(port) in [each["port"] for each in target["spec"]["ports"]]


@pytest.mark.parametrize("values", VALUES)
def test_every_container_of_ours_takes_its_environment(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    for workload in workloads(values):
        for container in containers(workload):
            if container["name"] == "migrate":
                assert container["args"] == ["migrate"]
                read(monkeypatch, "catalog", environment(container))
                seen += 1
    assert seen == 1, "the tables are brought up to date in one place"


def test_settings_of_the_user_come_before_the_charts() -> None:
    rendered = yaml.safe_load_all(render("minimal", "--set-string", "search.settings.SEARCH_SERVER__DRAIN_SECONDS=7"))
    (search,) = (each for each in rendered if each and (each["kind"], component(each)) == ("Deployment", "search"))
    assert environment(pod(search)["spec"]["containers"][0])["SEARCH_SERVER__DRAIN_SECONDS"] == "7"


@pytest.mark.parametrize("values", VALUES)
def test_the_process_ends_before_the_kubelet_ends_it(values: str) -> None:
    for service in SERVICES:
        spec = pod(named(values, "Deployment", f"shiwu-{service}"))["spec"]
        notice = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = int(environment(spec["containers"][0])[f"{service.upper()}_SERVER__DRAIN_SECONDS"])
        assert notice > 0
        assert spec["terminationGracePeriodSeconds"] >= notice + drain + 5


@pytest.mark.parametrize("values", VALUES)
def test_models_are_where_the_settings_say(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for service, field in {
        "gateway": "models",
        "detector": "model",
        "embedder": "models",
        "classifier": "models",
    }.items():
        container = own(values, service)
        found = getattr(read(monkeypatch, service, environment(container)), field)
        mounted = {Path(mount["mountPath"]) for mount in container["volumeMounts"] if mount["name"] == "models"}
        for path in found if isinstance(found, tuple) else [found]:
            assert mounted & {path, *path.parents}, f"{path} is on no volume"


@pytest.mark.parametrize("values", VALUES)
def test_the_shard_map_is_one_that_search_reads(values: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, "search", environment(own(values, "search")))
    config = named(values, "ConfigMap", "shiwu-shards")
    (tmp_path / settings.shards.name).write_text(config["data"][settings.shards.name])
    shards = read_shard_map(tmp_path / settings.shards.name)
    assert not [shard for shard in shards.shards if shard.is_lite]
    endpoints = {shard.name: shard.endpoint for shard in shards.shards}
    expected = {
        "external": {"fashion": "http://fashion.milvus.svc:19530", "rest": "https://milvus.example.com"},
        "everything": dict.fromkeys(endpoints, f"http://shiwu-milvus.{NAMESPACE}.svc.cluster.local:19530"),
        "minimal": dict.fromkeys(endpoints, "http://milvus.stores.svc:19530"),
        "production": dict.fromkeys(endpoints, "http://milvus.milvus.svc:19530"),
    }
    assert endpoints == expected[values]


def test_files_of_the_settings_are_on_volumes() -> None:
    """Every path in an environment is below a mount of its container."""
    for values in VALUES:
        for workload in of_kind(values, "Deployment"):
            for container in containers(workload):
                mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
                for name, value in environment_or_none(container).items():
                    for path in map(Path, re.findall(r"(?<![\w:/.])/[\w./-]+", value)):
                        assert any(mount in (path, *path.parents) for mount in mounts), f"{name}: {path}"


def environment_or_none(container: Manifest) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}


@pytest.mark.parametrize("values", ["production", "everything"])
def test_a_service_knows_its_callers_by_their_certificates(values: str) -> None:
    for service in SERVICES[1:]:
        variables = environment(own(values, service))
        known = json.loads(variables[f"{service.upper()}_SERVER__ACCESS__CALLERS"])
        expected = {
            f"shiwu-{caller}.{NAMESPACE}.svc.cluster.local": ["scan" if caller == "gateway" else "catalog:write"]
            for caller in SERVICES
            if service in peers(caller)
        }
        assert known == expected


def test_probes_speak_to_the_port_without_tls() -> None:
    for values in VALUES:
        for service in SERVICES:
            container = own(values, service)
            health = {port["name"]: port["containerPort"] for port in container["ports"]}["health"]
            probes = {name: container[name]["grpc"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
            assert {probe["port"] for probe in probes.values()} == {health}
            assert probes["livenessProbe"]["service"] == probes["startupProbe"]["service"] == "liveness"
            assert not probes["readinessProbe"].get("service")

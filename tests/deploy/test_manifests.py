"""What belongs together in the rendered manifests does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.chart import VALUES, Manifest, component, containers, manifests, of_kind, pod, selects, workloads
from tests.deploy.test_settings import SERVICES

_SECRETS = {
    "minimal": {"shiwu-database": {"url"}},
    "external": {"managed-postgres": {"url"}},
    "production": {
        "shiwu-database": {"url"},
        "shiwu-milvus": {"token"},
        "shiwu-keys": {"keys"},
        "shiwu-public-tls": {"*"},
        **{f"shiwu-{service}-tls": {"*"} for service in SERVICES},
    },
    "everything": {
        "registry": {"*"},
        "shiwu-database": {"url", "password"},
        "shiwu-milvus": {"token"},
        "shiwu-keys": {"keys.json"},
        **{f"shiwu-{service}-tls": {"*"} for service in SERVICES},
    },
}
"""The Secrets that docs/deploy.md asks for, with their keys; *: whatever its kind has."""
_CLAIMS = {"minimal": set(), "production": set(), "external": {"models"}, "everything": {"feeds", "triton-models"}}


@pytest.mark.parametrize("values", VALUES)
def test_names_are_unique_and_in_the_namespace(values: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests(values)]
    assert len(set(names)) == len(names)
    assert {each["metadata"]["namespace"] for each in manifests(values)} == {"shop"}
    assert all(len(name) <= 63 for _, name in names)


@pytest.mark.parametrize("values", VALUES)
def test_selectors_find_the_pods_of_one_workload(values: str) -> None:
    for workload in of_kind(values, "Deployment", "StatefulSet"):
        selector = workload["spec"]["selector"]["matchLabels"]
        assert [each for each in workloads(values) if selects(selector, each)] == [workload]
    for each in of_kind(values, "Service"):
        (found,) = (workload for workload in workloads(values) if selects(each["spec"]["selector"], workload))
        assert component(found) == component(each)
        ports = {port["name"] for container in pod(found)["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports
    for budget in of_kind(values, "PodDisruptionBudget"):
        (found,) = (each for each in workloads(values) if selects(budget["spec"]["selector"]["matchLabels"], each))
        assert component(found) == component(budget)
    assert {component(each) for each in of_kind(values, "PodDisruptionBudget")} == set(SERVICES)
    for scaler in of_kind(values, "HorizontalPodAutoscaler"):
        (found,) = (
            each for each in workloads(values) if each["metadata"]["name"] == scaler["spec"]["scaleTargetRef"]["name"]
        )
        assert "replicas" not in found["spec"]


@pytest.mark.parametrize("values", VALUES)
def test_pods_of_a_workload_are_spread(values: str) -> None:
    for service in SERVICES:
        (workload,) = (each for each in of_kind(values, "Deployment") if component(each) == service)
        spread = pod(workload)["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert all(selects(each["labelSelector"]["matchLabels"], workload) for each in spread)
        assert workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize("values", VALUES)
def test_every_pod_has_an_account_of_its_own_and_no_token(values: str) -> None:
    accounts = {each["metadata"]["name"] for each in of_kind(values, "ServiceAccount")}
    used = [pod(each)["spec"]["serviceAccountName"] for each in workloads(values)]
    assert sorted(used) == sorted(accounts)
    for workload in workloads(values):
        assert pod(workload)["spec"]["automountServiceAccountToken"] is False
        assert pod(workload)["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("values", VALUES)
def test_volumes_are_mounted_and_mounts_have_volumes(values: str) -> None:
    for workload in workloads(values):
        spec = pod(workload)["spec"]
        volumes = {each["name"] for each in spec.get("volumes", [])}
        volumes |= {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])}
        assert {mount["name"] for each in containers(workload) for mount in each["volumeMounts"]} == volumes


@pytest.mark.parametrize("values", VALUES)
def test_configmaps_are_there_and_secrets_and_claims_are_those_that_were_asked_for(values: str) -> None:
    configs = {each["metadata"]["name"] for each in of_kind(values, "ConfigMap")}
    secrets: dict[str, set[str]] = {}
    claims = set()
    for workload in workloads(values):
        for kind, name, key in _references(workload):
            if kind == "config":
                assert name in configs
            elif kind == "claim":
                claims.add(name)
            else:
                secrets.setdefault(name, set()).add(key)
    assert secrets == _SECRETS[values]
    assert claims == _CLAIMS[values]
    assert not of_kind(values, "Secret"), "values are no place for secrets"


def _references(workload: Manifest) -> Iterator[tuple[str, str, str]]:
    spec = pod(workload)["spec"]
    for each in spec.get("imagePullSecrets", []):
        yield "secret", each["name"], "*"
    for container in containers(workload):
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield "secret", reference["name"], reference["key"]
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            for item in volume["secret"].get("items", [{"key": "*"}]):
                yield "secret", volume["secret"]["secretName"], item["key"]
        if "configMap" in volume:
            yield "config", volume["configMap"]["name"], "*"
        if "persistentVolumeClaim" in volume:
            yield "claim", volume["persistentVolumeClaim"]["claimName"], "*"


@pytest.mark.parametrize("values", VALUES)
def test_containers_may_do_nothing_that_they_need_not(values: str) -> None:
    for workload in workloads(values):
        security = pod(workload)["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert ":" in container["image"].rpartition("/")[2], "an image without tag or digest"


def test_a_new_shard_map_restarts_search_alone() -> None:
    stamps = {
        (values, component(each)): pod(each)["metadata"]["annotations"].get("checksum/shards")
        for values in ("minimal", "production")
        for each in of_kind(values, "Deployment")
    }
    assert {service for (_, service), stamp in stamps.items() if stamp} == {"search"}
    assert stamps["minimal", "search"] != stamps["production", "search"]


@pytest.mark.parametrize("values", VALUES)
def test_the_tables_are_migrated_before_the_pods_of_a_version_start(values: str) -> None:
    jobs = of_kind(values, "Job")
    (catalog,) = (each for each in of_kind(values, "Deployment") if component(each) == "catalog")
    init = [each["name"] for each in pod(catalog)["spec"].get("initContainers", [])]
    if values == "everything":  # the bundled database is not there before the release
        assert (jobs, init) == ([], ["migrate"])
        return
    (job,) = jobs
    assert init == []
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    needed = [each for each in manifests(values) if component(each) == "migration" and each is not job]
    assert {each["kind"] for each in needed} == {"ServiceAccount", "NetworkPolicy"}
    for each in needed:
        hook, of_job = each["metadata"]["annotations"], job["metadata"]["annotations"]
        assert hook["helm.sh/hook"] == of_job["helm.sh/hook"]
        assert int(hook["helm.sh/hook-weight"]) < int(of_job["helm.sh/hook-weight"])


def test_the_public_door_leads_to_the_gateway_alone() -> None:
    for values in VALUES:
        doors = [each for each in of_kind(values, "Service") if each["spec"].get("clusterIP") != "None"]
        assert [each["metadata"]["name"] for each in doors] == ["shiwu"]
        assert component(doors[0]) == "gateway"
    monitor = of_kind("everything", "ServiceMonitor")[0]["spec"]
    watched = [each for each in of_kind("everything", "Service") if _matches(monitor, each)]
    scraped = [each for each in watched if "metrics" in [port["name"] for port in each["spec"]["ports"]]]
    assert {component(each) for each in scraped} >= set(SERVICES)
    assert len({component(each) for each in scraped}) == len(scraped), "a pod is scraped once"


def _matches(monitor: Manifest, service: Manifest) -> bool:
    return monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()

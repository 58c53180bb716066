"""A real Prometheus for tests (Debian: `apt-get install prometheus`), which scrapes every second."""

from __future__ import annotations

import json
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from evaluation.processes import ServerProcess, free_ports

_START_SECONDS = 30.0


class PrometheusServer:
    """A running server's HTTP API."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query now. AssertionError if Prometheus refuses the expression."""
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def value(self, expression: str) -> float:
        """The only sample of an instant query."""
        [sample] = self.query(expression)
        return float(sample["value"][1])

    def exemplars(self, selector: str) -> list[dict[str, Any]]:
        """Exemplars of the last minutes."""
        now = time.time()
        found: list[dict[str, Any]] = self._get("query_exemplars", query=selector, start=now - 600, end=now + 1)
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def names(self) -> set[str]:
        """All metric names that it has samples of."""
        return set(self._get("label/__name__/values"))

    def targets(self) -> list[dict[str, Any]]:
        targets: list[dict[str, Any]] = self._get("targets")["activeTargets"]
        return targets

    def _get(self, path: str, **parameters: object) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error


@contextmanager
def running_prometheus(
    directory: Path, targets: Mapping[str, int], rules: Sequence[Path] = ()
) -> Iterator[PrometheusServer]:
    """Scrapes these ports of this machine, by name of their job, and evaluates the rules meanwhile."""
    (port,) = free_ports(1)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path.resolve()) for path in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
            for job, target in targets.items()
        ],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [
        *(program("prometheus"), f"--config.file={directory / 'prometheus.yml'}"),
        *(f"--storage.tsdb.path={directory / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
        "--enable-feature=exemplar-storage",
    ]
    server = ServerProcess("Prometheus", command, directory / "prometheus.log")
    server.start()
    try:
        server.wait(lambda: _problem(port), _START_SECONDS)
        yield PrometheusServer(port)
    finally:
        server.end(30.0)


def program(name: str) -> str:
    """Path of `prometheus` or `promtool`."""
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed: apt-get install prometheus"
    return path


def _problem(port: int) -> str | None:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1).close()
    except OSError as error:
        return str(error)
    return None

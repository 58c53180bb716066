"""A real Milvus 2.3.5 for tests and benchmarks: the server in the wheel `milvus`, run without its wrapper.

    with running_milvus(tmp_path) as milvus:
        MilvusClient(milvus.uri)

The wheel is fetched once (350 MB unpacked); see programs.py.
"""

from __future__ import annotations

import http.client
import json
import lzma
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from evaluation.processes import HOST, HTTP, ServerProcess, free_ports
from evaluation.programs import program, unpack_wheel

REQUIREMENT = "milvus==2.3.5"  # the last release on PyPI whose wheel carries the server


def install() -> Path:
    """The directory with `bin/milvus`, its libraries and `configs/`, fetched if it is not there yet."""
    return program(REQUIREMENT, _unpack)


def _unpack(place: Path) -> None:
    wheel = place / "wheel"
    unpack_wheel(REQUIREMENT, wheel)
    data = wheel / "milvus/data"
    for directory in ("bin", "configs"):
        (place / directory).mkdir()
    for packed in data.glob("bin/*.lzma"):
        target = place / "bin" / packed.stem
        with lzma.open(packed) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        target.chmod(0o755)
    # Placeholders such as {{ proxy_port(int): 19530 }} become their default, or nothing.
    template = (data / "config.yaml.template").read_text()
    config = re.sub(r"\{\{ *\w+(?:\(\w+\))? *(?:: *(.*?))? *\}\}", r"\1", template)
    (place / "configs/milvus.yaml").write_text(config)
    shutil.copy(data / "glog.conf", place / "configs")
    shutil.rmtree(wheel)


class MilvusServer:
    """One standalone server on the data in `home`; can be killed and started again at the same address."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        self._program = install()
        # After a restart Milvus looks for its parts where they were, so ports are chosen once.
        self._port, self._metrics_port, *self._internal_ports = free_ports(11)
        command = [str(self._program / "bin/milvus"), "run", "standalone", "-alias", f"shiwu-{self._port}"]
        self._process = ServerProcess(
            "Milvus", command, self.home / "milvus.log", folder=self.home, environment=self._settings()
        )

    @property
    def uri(self) -> str:
        """Where clients connect."""
        return f"http://{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """Of the running server."""
        return self._process.pid

    def start(self, timeout: float = 180.0) -> None:
        """Starts the server and returns when every loaded collection answers a query.

        Takes 3-8 s when new, about 15 s after a kill. Raises RuntimeError with the end of the log if it fails.
        """
        self._process.start()
        self._process.wait(self._not_ready, timeout)

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone. Its data stays."""
        self._process.end()

    def stop(self) -> None:
        """SIGTERM, SIGKILL after 5 s (a server with loaded collections may not follow). Its data stays."""
        self._process.end(5.0)

    def _settings(self) -> dict[str, str]:
        etcd_client, etcd_peer, internal, *ports = self._internal_ports
        roles = ("rootCoord", "dataCoord", "queryCoord", "dataNode", "indexNode", "queryNode")
        etcd = self.home / "etcd.json"
        etcd.write_text(json.dumps(_embedded_etcd(etcd_client, etcd_peer)))
        settings: dict[str, object] = {
            "common.gracefulStopTimeout": 1,
            "common.session.ttl": 10,  # a restart waits until the sessions of the server's former self are over
            "etcd.config.path": etcd,
            "etcd.data.dir": self.home / "data/etcd",
            "etcd.use.embed": "true",
            "localStorage.path": self.home / "data",
            "metrics.port": self._metrics_port,
            "proxy.internalPort": internal,
            "proxy.ip": HOST,
            "proxy.port": self._port,
            "rocksmq.path": self.home / "data/rocksmq",
        }
        for role, port in zip(roles, ports, strict=True):
            settings |= {f"{role}.ip": HOST, f"{role}.port": port}
        program = {"LD_LIBRARY_PATH": str(self._program / "bin"), "MILVUSCONF": str(self._program / "configs")}
        # Milvus reads any setting of milvus.yaml from the environment as well.
        return program | {key.replace(".", "_").upper(): str(value) for key, value in settings.items()}

    def _not_ready(self) -> str | None:
        # Health alone says too little: after a crash it is fine long before a query is.
        try:
            HTTP.open(f"http://{HOST}:{self._metrics_port}/healthz", timeout=5).close()
            for collection in self._rest("collections"):
                about = self._rest(f"collections/describe?collectionName={urllib.parse.quote(collection)}")
                if about["load"] != "LoadStateNotLoad":
                    (key,) = (field for field in about["fields"] if field["primaryKey"])
                    value = "0" if key["type"] == "Int64" else '"0"'
                    query = {"filter": f"{key['name']} in [{value}]", "outputFields": [key["name"]], "limit": 1}
                    self._rest("query", {"collectionName": collection, **query})
        except (OSError, http.client.HTTPException, ValueError) as error:
            return str(error)
        return None

    def _rest(self, path: str, body: dict[str, object] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer root:Milvus"}
        request = urllib.request.Request(f"{self.uri}/v1/vector/{path}", data, headers)
        with closing(HTTP.open(request, timeout=30)) as response:
            reply = json.load(response)
        if reply["code"] != 200:
            msg = f"{path}: {reply.get('message')}"
            raise ValueError(msg)
        return reply["data"]


@contextmanager
def running_milvus(home: Path) -> Iterator[MilvusServer]:
    """A server that answers, on the data in `home`; killed at the end, its data left to the caller."""
    server = MilvusServer(home)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _embedded_etcd(client: int, peer: int) -> dict[str, str]:
    client_url, peer_url = f"http://{HOST}:{client}", f"http://{HOST}:{peer}"
    return {
        "listen-client-urls": client_url,
        "advertise-client-urls": client_url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"default={peer_url}",
    }

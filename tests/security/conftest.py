"""A mesh as it runs in production: mutual TLS between the services, TLS and keys at the gateway and the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest

from shiwu.chassis.api_keys import create_key
from shiwu.cli.connection import Credentials, connected, credentials
from shiwu.cli.mesh import SERVICES, Layout, Mesh, free_ports
from tests.certificates import Authority, Pair
from tests.demo_mesh import ROOT

SCOPES = ("scan", "catalog:write", "admin")


@dataclass(frozen=True)
class SecureMesh:
    mesh: Mesh
    authority: Authority
    certificates: Path
    """Folder of a certificate for each service."""
    keys: Mapping[str, str]
    """By scope."""
    audit: Path
    root: Path
    """Feeds may be imported from here."""

    @contextmanager
    def channel(self, service: str, key: str | None = None, identity: str = "operator") -> Iterator[grpc.Channel]:
        """A channel with a certificate of the mesh's CA for `identity`."""
        with self.shown(key, identity), connected(self.mesh.layout.target(service)) as channel:
            yield channel

    @contextmanager
    def shown(self, key: str | None = None, identity: str = "operator") -> Iterator[None]:
        """Commands meanwhile show a certificate of the mesh's CA for `identity`."""
        pair = self.authority.issue(self.certificates / "clients", identity)
        token = credentials.set(
            Credentials(key=key, ca=pair.ca, certificate=pair.certificate, certificate_key=pair.key)
        )
        try:
            yield
        finally:
            credentials.reset(token)


def environment(home: Path, layout: Layout, certificates: Mapping[str, Pair], keys: Path) -> dict[str, str]:
    """TLS and access of every service."""
    settings = {}
    for service, pair in certificates.items():
        server, tls = f"{service.upper()}_SERVER__", {"CERTIFICATE": pair.certificate, "KEY": pair.key}
        settings |= {f"{server}TLS__{name}": str(path) for name, path in tls.items()}
        if service != "gateway":
            settings[f"{server}TLS__CLIENT_CA"] = str(pair.ca)
        settings[f"{server}ACCESS__KEYS"] = str(keys)
        for peer in SERVICES:
            if f"{service.upper()}_{peer.upper()}__TARGET" in layout.environment(service):
                client = tls | {"CA": pair.ca}
                settings |= {
                    f"{service.upper()}_{peer.upper()}__TLS__{name}": str(path) for name, path in client.items()
                }
    # A fuzzer calls more often than anybody should.
    settings |= {f"{service.upper()}_SERVER__ACCESS__RATE": "100000" for service in SERVICES}
    settings |= {f"{service.upper()}_SERVER__ACCESS__BURST": "100000" for service in SERVICES}
    settings["CATALOG_AUDIT"] = str(home / "audit.jsonl")
    return settings


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureMesh]:
    home = Path(tmp_path_factory.mktemp("secure"))
    authority = Authority()
    certificates = {service: authority.issue(home / "certificates", service) for service in SERVICES}
    keys = {scope: create_key(home / "keys.json", prefix="shiwu", scopes=[scope])[0] for scope in SCOPES}
    root = home / "feeds"
    root.mkdir()
    layout = Layout(home, free_ports(), ROOT / "models", import_roots=(root,))
    layout = replace(layout, extra=environment(home, layout, certificates, home / "keys.json"))
    with Mesh(layout) as mesh:
        secure = SecureMesh(mesh, authority, home / "certificates", keys, home / "audit.jsonl", root)
        with secure.shown():
            mesh.wait_ready()
        yield secure

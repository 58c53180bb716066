"""The whole mesh behind TLS and keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc

from services.catalog.access import AUDITED
from services.catalog.access import TABLE as CATALOG_TABLE
from services.classifier.access import TABLE as CLASSIFIER_TABLE
from services.detector.access import TABLE as DETECTOR_TABLE
from services.embedder.access import TABLE as EMBEDDER_TABLE
from services.gateway.access import TABLE as GATEWAY_TABLE
from services.search.access import TABLE as SEARCH_TABLE
from shiwu.v1 import catalog_pb2, gateway_pb2, search_pb2
from shiwu.v1 import catalog_resources_pb2 as resources
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.v1.vision_pb2 import Image
from tests.demo_mesh import eventually
from tests.security.conftest import SecureMesh
from tests.security.methods import METHODS, Method

TABLES = {
    "gateway": GATEWAY_TABLE,
    "detector": DETECTOR_TABLE,
    "embedder": EMBEDDER_TABLE,
    "classifier": CLASSIFIER_TABLE,
    "search": SEARCH_TABLE,
    "catalog": CATALOG_TABLE,
}
DENIED, NOBODY = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED


def photo(seed: int = 0) -> bytes:
    pixels = np.full((240, 320, 3), 230, np.uint8)
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    pixels[60:180, 80:240] = cv2.resize(noise, (160, 120), interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def code(channel: grpc.Channel, path: str, request: bytes = b"") -> grpc.StatusCode:
    """The status of a call of any kind."""
    try:
        list(channel.stream_stream(path)(iter([request]), timeout=10))
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_every_method_is_in_its_services_table() -> None:
    for service, table in TABLES.items():
        assert set(table.scopes) == {method.path for method in METHODS if method.service == service}
        assert {scope for scopes in table.scopes.values() for scope in scopes} <= {"scan", "catalog:write", "admin"}


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_key_opens_what_its_scope_says_and_nothing_else(secure: SecureMesh, method: Method) -> None:
    with secure.channel(method.service) as channel:
        assert code(channel, method.path) in ({NOBODY} if method.service == "gateway" else {DENIED})
    for scope, key in secure.keys.items():
        allowed = scope in {*TABLES[method.service].scopes[method.path], "admin"}
        with secure.channel(method.service, key) as channel:
            assert (code(channel, method.path) not in {DENIED, NOBODY}) is allowed, scope


def test_services_know_each_other_by_their_certificates(secure: SecureMesh) -> None:
    upsert, search = "/shiwu.v1.SearchService/Upsert", "/shiwu.v1.SearchService/Search"
    for identity, path, opens in (
        ("gateway", search, True),
        ("gateway", upsert, False),
        ("catalog", upsert, True),
        ("detector", search, False),
        ("gateway.elsewhere", search, False),
    ):
        with secure.channel("search", identity=identity) as channel:
            assert (code(channel, path) is not DENIED) is opens, (identity, path)


@pytest.fixture(scope="module")
def stocked(secure: SecureMesh) -> bytes:
    """A product's picture, imported with the key for it."""
    picture = photo(1)
    (secure.root / "a.jpg").write_bytes(picture)
    feed = secure.root / "feed.csv"
    feed.write_text(
        "product_id,title,category,images,merchant,price,currency\nsecure-1,A thing,toys,a.jpg,M,1.00,USD\n"
    )
    with secure.channel("catalog", secure.keys["catalog:write"]) as channel:
        request = catalog_pb2.ImportProductsRequest(feed_uri=feed.as_uri())
        name = CatalogServiceStub(channel).ImportProducts(request, timeout=20).name
        stub = operations_pb2_grpc.OperationsStub(channel)
        asked = operations_pb2.GetOperationRequest(name=name)
        eventually(lambda: stub.GetOperation(asked, timeout=10).done)
    return picture


def test_a_photo_finds_its_product_through_the_whole_mesh(secure: SecureMesh, stocked: bytes) -> None:
    with secure.channel("gateway", secure.keys["scan"]) as channel:
        answer = GatewayServiceStub(channel).Scan(gateway_pb2.ScanRequest(image=Image(encoded=stocked)), timeout=20)
    assert not answer.missing
    assert answer.styles[0].products[0].product.product_id == "secure-1"


def test_certificates_are_exchanged_under_the_running_mesh(secure: SecureMesh, stocked: bytes) -> None:
    for service in ("gateway", "search", "embedder"):
        secure.authority.issue(secure.certificates, service)
    with secure.shown():
        for service in ("search", "embedder"):  # with the old certificate no answer is whole
            secure.mesh.restart(service)

    def whole() -> bool:
        with secure.channel("gateway", secure.keys["scan"]) as channel:
            request = gateway_pb2.ScanRequest(image=Image(encoded=stocked))
            return not GatewayServiceStub(channel).Scan(request, timeout=20).missing

    eventually(whole)


def lines(secure: SecureMesh) -> list[dict[str, object]]:
    return [json.loads(line) for line in secure.audit.read_text().splitlines()]


def test_writes_are_audited_and_reads_are_not(secure: SecureMesh) -> None:
    before = len(lines(secure))
    writer, scanner = secure.keys["catalog:write"], secure.keys["scan"]
    style = resources.Style(style_id="audited", title="secret title", category="toys")
    with secure.channel("catalog", writer) as channel:
        stub = CatalogServiceStub(channel)
        stub.CreateStyle(catalog_pb2.CreateStyleRequest(style=style), timeout=10)
        stub.GetStyle(catalog_pb2.GetStyleRequest(style_id="audited"), timeout=10)
        assert code(channel, "/shiwu.v1.CatalogService/DeleteStyle") is DENIED
    with secure.channel("catalog", scanner) as channel:
        CatalogServiceStub(channel).ListStyles(catalog_pb2.ListStylesRequest(), timeout=10)
    key_id = f"key:{writer.split('_')[1]}"
    assert [
        (each["caller"], each["method"], each["resources"], each["outcome"]) for each in lines(secure)[before:]
    ] == [
        (key_id, "/shiwu.v1.CatalogService/CreateStyle", ["style_id=audited"], "BEGUN"),
        (key_id, "/shiwu.v1.CatalogService/CreateStyle", ["style_id=audited"], "OK"),
        (key_id, "/shiwu.v1.CatalogService/DeleteStyle", [], "PERMISSION_DENIED"),
    ]
    assert "secret title" not in secure.audit.read_text()
    verbs = {path.rpartition("/")[2] for path in AUDITED}
    assert {"CreateReferenceImage", "DeleteProduct", "ImportProducts", "CancelOperation"} <= verbs
    assert not verbs & {"Describe", "ListGaps", "RecordGap", "GetProduct"}


def test_photos_and_keys_are_in_no_log(secure: SecureMesh, stocked: bytes) -> None:
    home = secure.mesh.layout.home
    text = b"".join(path.read_bytes() for path in (home / "logs").iterdir()) + secure.audit.read_bytes()
    assert b'"caller"' in text
    for key in secure.keys.values():
        assert key.split("_")[2].encode() not in text
    for piece in (stocked[100:116], stocked[-40:-24]):
        assert piece not in text
        assert repr(piece)[2:-1].encode() not in text
        assert piece.hex().encode() not in text


def test_a_model_is_served_by_administrators_alone_and_that_is_noted(secure: SecureMesh) -> None:
    with secure.channel("search", secure.keys["admin"]) as channel, pytest.raises(grpc.RpcError) as error:
        SearchServiceStub(channel).ServeModel(search_pb2.ServeModelRequest(model="no-such@1"), timeout=20)
    assert error.value.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
    noted = [line for line in secure.mesh.log("search").read_text().splitlines() if '"log": "audit"' in line]
    assert "model=no-such@1" in noted[-1] or "no-such@1" in noted[-1]


class TestCommand:
    def run(self, secure: SecureMesh, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shiwu.cli", *arguments]
        env = {**os.environ, "SHIWU_GATEWAY": secure.mesh.layout.target("gateway"), **environment}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)

    def test_scan_with_a_key_over_tls(self, secure: SecureMesh, stocked: bytes, tmp_path: Path) -> None:
        path = tmp_path / "photo.jpg"
        path.write_bytes(stocked)
        ca = str(secure.certificates / "gateway.ca.pem")
        good = self.run(secure, "scan", str(path), SHIWU_CA=ca, SHIWU_KEY=secure.keys["scan"])
        assert "A thing" in good.stdout, good.stderr
        none = self.run(secure, "--ca", ca, "scan", str(path))
        assert (none.returncode, "UNAUTHENTICATED" in none.stderr, "SHIWU_KEY" in none.stderr) == (2, True, True)
        wrong = self.run(secure, "--ca", ca, "--key", secure.keys["catalog:write"], "scan", str(path))
        assert (wrong.returncode, "PERMISSION_DENIED" in wrong.stderr) == (2, True)
        assert self.run(secure, "scan", str(path), SHIWU_KEY=secure.keys["scan"]).returncode == 3

    def test_a_key_is_not_sent_in_the_clear_to_another_machine(self, secure: SecureMesh, tmp_path: Path) -> None:
        path = tmp_path / "photo.jpg"
        path.write_bytes(b"x")
        sent = self.run(secure, "--key", "k", "scan", str(path), "--gateway", "gateway.example:50050")
        assert (sent.returncode, "in the clear" in sent.stderr) == (2, True)
        half = self.run(secure, "--cert", "x", "--ca", "y", "scan", str(path))
        assert (half.returncode, "--cert and --cert-key together" in half.stderr) == (2, True)

    def test_keys_are_made_listed_and_revoked(self, secure: SecureMesh, tmp_path: Path) -> None:
        file = ("--file", str(tmp_path / "keys.json"))
        made = self.run(secure, "keys", "create", *file, "--scope", "scan", "--owner", "me", "--days", "3")
        key_id = made.stdout.split("_")[1]
        assert made.stdout.startswith("shiwu_")
        listed = self.run(secure, "keys", "list", *file)
        assert key_id in listed.stdout
        assert made.stdout.split("_")[2].strip() not in listed.stdout + listed.stderr + made.stderr
        assert self.run(secure, "keys", "revoke", key_id, *file).returncode == 0
        assert key_id not in self.run(secure, "keys", "list", *file).stdout
        assert self.run(secure, "keys", "revoke", key_id, *file).returncode == 2
        unknown = self.run(secure, "keys", "create", *file, "--scope", "everything")
        assert (unknown.returncode, "there is no scope everything" in unknown.stderr) == (2, True)

"""A new version of the embedder takes over, with real services under scans and writes: none fails, none is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest

from shiwu.cli.mesh import free_ports, serving
from shiwu.v1 import catalog_pb2, gateway_pb2, search_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import ReferenceImage
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.v1.vision_pb2 import Image
from tests import demo_mesh
from tests.demo_mesh import STOCK, DemoMesh, eventually

RELEASED = Path("models").resolve()
OLD = f"embedder-lite0@{json.loads((RELEASED / 'embedder-lite0/manifest.json').read_text())['version']}"
NEW = "embedder-lite0@99"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released models, and a new version of the embedder, which sees pictures otherwise."""
    folder = Path(tmp_path_factory.mktemp("models"))
    for released in RELEASED.iterdir():
        (folder / released.name).symlink_to(released)
    (folder / "embedder-next").mkdir()
    manifest = json.loads((RELEASED / "embedder-lite0/manifest.json").read_text())
    manifest["version"] = "99"
    manifest["preprocessing"] |= {"views": [1.0, 0.8], "margin": 0.1}
    (folder / "embedder-next/manifest.json").write_text(json.dumps(manifest))
    (folder / "embedder-next" / manifest["file"]).symlink_to(RELEASED / "embedder-lite0" / manifest["file"])
    return folder


class Embedders:
    """Two replicas, of which one is restarted at a time."""

    def __init__(self, models: Path, log: Path) -> None:
        self.ports = [free_ports(), free_ports()]
        self.target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self._models = models
        self._log = log
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def roll(self, *names: str) -> None:
        for port in self.ports:
            self._end(port)
            environment = os.environ | {
                "EMBEDDER_SERVER__PORT": str(port),
                "EMBEDDER_MODELS": json.dumps([str(self._models / name) for name in names]),
            }
            with self._log.open("ab") as log:
                command = [sys.executable, "-m", "services.embedder"]
                self._processes[port] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            eventually(lambda: serving(f"127.0.0.1:{port}"), 60)  # noqa: B023
            time.sleep(1.0)  # as long as a rollout waits before it takes the next one

    def stop(self) -> None:
        for port in self.ports:
            self._end(port)

    def _end(self, port: int) -> None:
        if port in self._processes:
            self._processes[port].terminate()
            self._processes.pop(port).wait(20)


@pytest.fixture(scope="module")
def embedders(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedders]:
    embedders = Embedders(models, Path(tmp_path_factory.mktemp("embedders")) / "log")
    try:
        embedders.roll("embedder-lite0")
        yield embedders
    finally:
        embedders.stop()


@pytest.fixture(scope="module")
def demo(models: Path, embedders: Embedders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMesh]:
    extra = {
        "GATEWAY_EMBEDDER__TARGET": embedders.target,
        "CATALOG_EMBEDDER__TARGET": embedders.target,
        "GATEWAY_MODELS": str(models),
        "GATEWAY_MODELS_MAX_AGE": "1",
    }
    demo = demo_mesh.start(Path(tmp_path_factory.mktemp("reembedding")), extra)
    with demo.mesh:
        demo.mesh.wait_ready()
        demo.finish_import(demo.start_import(demo.write_feed(STOCK)))
        yield demo


class Traffic:
    """Scans and writes until told to stop, and keeps what came of them."""

    def __init__(self, demo: DemoMesh) -> None:
        self._demo = demo
        self._over = threading.Event()
        self.answers: list[tuple[str, gateway_pb2.ScanResponse]] = []
        self.written: list[str] = []
        self.deleted: list[str] = []
        self.errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in (self._scan, self._write)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work) -> None:
        for number in count():
            if self._over.is_set():
                return
            try:
                work(number)
            except Exception as error:
                self.errors.append(error)

    def _scan(self, number: int) -> None:
        key = ("basketball", "laptop", "football")[number % 3]
        self.answers.append((key, self._demo.scan(self._demo.products[key].picture.read_bytes(), explain=True)))

    def _write(self, number: int) -> None:
        """A picture of noise, so that scans find what they found."""
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)
        data = cv2.imencode(".png", pixels)[1].tobytes()
        image_id, product = f"written-{number}", STOCK[number % len(STOCK)]
        with grpc.insecure_channel(self._demo.mesh.layout.target("catalog")) as channel:
            stub = CatalogServiceStub(channel)
            image = ReferenceImage(image_id=image_id, product_id=product)
            request = catalog_pb2.CreateReferenceImageRequest(reference_image=image, image=Image(encoded=data))
            stub.CreateReferenceImage(request, timeout=20)
            if number % 5 == 4:
                stub.DeleteReferenceImage(catalog_pb2.DeleteReferenceImageRequest(image_id=image_id), timeout=20)
                self.deleted.append(image_id)
            else:
                self.written.append(image_id)
        time.sleep(0.2)


def job(demo: DemoMesh, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | demo.mesh.layout.environment("catalog")
    return subprocess.run(
        [sys.executable, "-m", "services.catalog", *command],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )


def stored(demo: DemoMesh, model: str) -> dict[str, int]:
    """Pictures of a version in each shard that has it."""
    with grpc.insecure_channel(demo.mesh.layout.target("search")) as channel:
        shards = SearchServiceStub(channel).DescribeShards(search_pb2.DescribeShardsRequest(), timeout=10).shards
    return {shard.name: index.images for shard in shards for index in shard.indexes if index.model == model}


def missing(demo: DemoMesh, image_ids: list[str], model: str) -> list[str]:
    with grpc.insecure_channel(demo.mesh.layout.target("search")) as channel:
        request = search_pb2.FindMissingRequest(image_ids=image_ids, model=model)
        return list(SearchServiceStub(channel).FindMissing(request, timeout=10).image_ids)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_new_version_takes_over_without_a_failed_scan(demo: DemoMesh, embedders: Embedders) -> None:
    refused = job(demo, "reembed", NEW)
    assert refused.returncode == 1
    assert f"does not run {NEW}, but {OLD}" in refused.stderr + refused.stdout
    embedders.roll("embedder-lite0", "embedder-next")
    with Traffic(demo) as traffic:
        built = job(demo, "reembed", NEW)
        assert built.returncode == 0, built.stderr
        assert {answer.versions.embedder for _, answer in traffic.answers} == {OLD}
        early = job(demo, "retire", OLD)
        assert early.returncode == 1
        assert f"still runs {OLD}" in early.stderr + early.stdout
        embedders.roll("embedder-next", "embedder-lite0")
        eventually(lambda: traffic.answers[-1][1].versions.embedder == NEW)
        embedders.roll("embedder-next")
        retired = job(demo, "retire", OLD)
        assert retired.returncode == 0, retired.stderr
        time.sleep(1.0)
    assert not traffic.errors, traffic.errors
    for key, answer in traffic.answers:
        assert not answer.missing, answer.missing
        assert (answer.outcome, answer.styles[0].products[0].product.product_id) == (
            gateway_pb2.OUTCOME_MATCHED,
            key,
        )
    assert len(traffic.answers) > 50
    assert len(traffic.written) > 20
    assert traffic.answers[-1][1].versions.embedder == NEW
    assert stored(demo, OLD) == {}
    assert sum(stored(demo, NEW).values()) == len(STOCK) + len(traffic.written)
    assert missing(demo, traffic.written, NEW) == []
    assert missing(demo, traffic.deleted, NEW) == traffic.deleted
    checked = job(demo, "verify")
    assert checked.stdout.startswith("0 pictures were missing")

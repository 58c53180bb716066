"""A new version of the embedder takes over, with real services under scans and writes: none fails, none is lost."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from shiwu.v1 import gateway_pb2, search_pb2
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from tests import demo_mesh
from tests.demo_mesh import STOCK, DemoMesh, eventually
from tests.traffic import RollingPair, Traffic

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


def running(models: Path, *names: str) -> dict[str, str]:
    """The settings of an embedder that runs these models, the first by default."""
    return {"EMBEDDER_MODELS": json.dumps([str(models / name) for name in names])}


@pytest.fixture(scope="module")
def embedders(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RollingPair]:
    with RollingPair("embedder", Path(tmp_path_factory.mktemp("embedders")) / "log") as embedders:
        embedders.roll(running(models, "embedder-lite0"))
        yield embedders


@pytest.fixture(scope="module")
def demo(models: Path, embedders: RollingPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMesh]:
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
def test_pictures_of_a_release_without_local_features_get_them(demo: DemoMesh) -> None:
    url = demo.mesh.layout.environment("catalog")["CATALOG_DATABASE_URL"]
    with closing(sqlite3.connect(url.partition("///")[2])) as database, database:
        lost = database.execute("UPDATE reference_images SET local_features = ''").rowcount  # as the migration left it
    assert lost > 0
    made = job(demo, "describe")
    assert made.returncode == 0, made.stderr
    assert f"{lost} made, 0 cannot be" in made.stdout
    assert "made" not in job(demo, "describe").stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_new_version_takes_over_without_a_failed_scan(demo: DemoMesh, embedders: RollingPair, models: Path) -> None:
    refused = job(demo, "reembed", NEW)
    assert refused.returncode == 1
    assert f"does not run {NEW}, but {OLD}" in refused.stderr + refused.stdout
    embedders.roll(running(models, "embedder-lite0", "embedder-next"))
    with Traffic(demo) as traffic:
        built = job(demo, "reembed", NEW)
        assert built.returncode == 0, built.stderr
        assert {answer.versions.embedder for _, answer in traffic.answers} == {OLD}
        early = job(demo, "retire", OLD)
        assert early.returncode == 1
        assert f"still runs {OLD}" in early.stderr + early.stdout
        embedders.roll(running(models, "embedder-next", "embedder-lite0"))
        eventually(lambda: traffic.answers[-1][1].versions.embedder == NEW)
        embedders.roll(running(models, "embedder-next"))
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

"""Categories move to a new shard and back, on a real Milvus, under scans and writes: none fails, none is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import yaml

from evaluation.milvus_server import MilvusServer, running_milvus
from services.search.shards import DEFAULT_MAP
from shiwu.v1 import gateway_pb2, search_pb2
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from tests import demo_mesh
from tests.demo_mesh import STOCK, DemoMesh
from tests.traffic import RollingPair, Traffic

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    with running_milvus(Path(tmp_path_factory.mktemp("milvus"))) as server:
        yield server


@pytest.fixture(scope="module")
def shard_map(milvus: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = yaml.safe_load(DEFAULT_MAP.read_text())
    for shard in document["shards"]:
        shard["endpoint"] = milvus.uri
    path = Path(tmp_path_factory.mktemp("map")) / "shards.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="module")
def searchers(shard_map: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RollingPair]:
    with RollingPair("search", Path(tmp_path_factory.mktemp("searchers")) / "log") as searchers:
        searchers.roll({"SEARCH_SHARDS": str(shard_map)})
        yield searchers


@pytest.fixture(scope="module")
def demo(searchers: RollingPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMesh]:
    extra = {"GATEWAY_SEARCH__TARGET": searchers.target, "CATALOG_SEARCH__TARGET": searchers.target}
    demo = demo_mesh.start(Path(tmp_path_factory.mktemp("moving")), extra)
    with demo.mesh:
        demo.mesh.wait_ready()
        demo.finish_import(demo.start_import(demo.write_feed(STOCK)))
        yield demo


def shiwu(demo: DemoMesh, searchers: RollingPair, *words: str) -> subprocess.CompletedProcess[str]:
    targets = ("--search", searchers.target, "--catalog", demo.mesh.layout.target("catalog"))
    options = targets if words[1] in ("verify", "advance") else targets[:2] if len(words) == 1 else ()
    command = [sys.executable, "-m", "shiwu.cli", *words, *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def held(searchers: RollingPair, shard: str) -> dict[str, str]:
    """What a shard holds: pictures and their categories."""
    with grpc.insecure_channel(searchers.target) as channel:
        stub = SearchServiceStub(channel)
        shards = stub.DescribeShards(search_pb2.DescribeShardsRequest(), timeout=10).shards
        models = [index.model for each in shards if each.name == shard for index in each.indexes]
        return {
            record.image_id: record.category
            for model in models
            for record in stub.ListRecords(search_pb2.ListRecordsRequest(shard=shard, model=model), timeout=10).records
        }


@pytest.mark.timeout(600)
def test_categories_move_without_a_failed_scan_or_a_lost_write(
    demo: DemoMesh, searchers: RollingPair, shard_map: Path, milvus: MilvusServer
) -> None:
    settings, file = {"SEARCH_SHARDS": str(shard_map)}, ("--map", str(shard_map))

    def done(*words: str) -> str:
        result = shiwu(demo, searchers, *words)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    with Traffic(demo) as traffic:
        done("shards", "add", "sports", "--endpoint", milvus.uri, "--categories", "shoes,appliances", *file)
        early = shiwu(demo, searchers, "shards", "advance", *file)
        assert (early.returncode, "runs another shard map" in " ".join(early.stderr.split())) == (2, True)
        searchers.roll(settings)
        assert "copying" in done("shards", "advance", *file)
        searchers.roll(settings)
        incomplete = shiwu(demo, searchers, "shards", "advance", *file)
        assert (incomplete.returncode, "verify --repair" in incomplete.stderr) == (2, True)
        done("shards", "verify", "--repair")
        assert "switched" in done("shards", "advance", *file)
        searchers.roll(settings)
        assert "clearing" in done("shards", "advance", *file)
        searchers.roll(settings)
        assert "done" in done("shards", "advance", *file)
        searchers.roll(settings)
        time.sleep(1.0)
        assert {"shoes", "appliances"}.isdisjoint(held(searchers, "fashion").values())
        assert set(held(searchers, "sports").values()) == {"shoes", "appliances"}
        done("shards", "drain", "sports", "--to", "home", *file)
        searchers.roll(settings)
        done("shards", "advance", *file)
        searchers.roll(settings)
        done("shards", "verify", "--repair")
        for _ in range(3):
            done("shards", "advance", *file)
            searchers.roll(settings)
    assert not traffic.errors, traffic.errors
    for key, answer in traffic.answers:
        assert not answer.missing, answer.missing
        assert (answer.outcome, answer.styles[0].products[0].product.product_id) == (
            gateway_pb2.OUTCOME_MATCHED,
            key,
        )
    assert len(traffic.answers) > 50
    names = [shard["name"] for shard in yaml.safe_load(shard_map.read_text())["shards"]]
    assert names == ["fashion", "home", "pantry", "media"]
    everything = {image for name in names for image in held(searchers, name)}
    assert set(traffic.written) <= everything
    assert everything.isdisjoint(traffic.deleted)
    assert len(everything) == len(STOCK) + len(traffic.written)
    assert "0 missing in the index, 0 not exactly where they belong, 0 in the index only" in " ".join(
        done("shards", "verify").split()
    )


def test_an_index_that_is_gone_comes_back_from_the_catalogue(demo: DemoMesh, searchers: RollingPair) -> None:
    """The catalogue's rows keep the vectors: they are the backup of the index."""
    before = {name: held(searchers, name) for name in ("fashion", "home", "pantry", "media")}
    lost = sorted(image for of_shard in before.values() for image in of_shard)
    with grpc.insecure_channel(searchers.target) as channel:
        SearchServiceStub(channel).Delete(search_pb2.DeleteRequest(image_ids=lost), timeout=20)
    seen = shiwu(demo, searchers, "shards", "verify")
    assert seen.returncode == 2
    assert f"{len(lost)} missing in the index" in seen.stdout
    assert shiwu(demo, searchers, "shards", "verify", "--repair").returncode == 0
    assert {name: held(searchers, name) for name in before} == before

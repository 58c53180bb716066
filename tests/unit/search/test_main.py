"""The process itself, on Milvus Lite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from evaluation.processes import free_ports
from shiwu.v1 import search_pb2 as pb
from shiwu.v1.search_pb2_grpc import SearchServiceStub

from .stores import MODEL, unit

ROOT = Path(__file__).parents[3]


def start(home: Path, **settings: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEARCH_")}
    environment |= {"SEARCH_HOME": str(home)} | settings
    return subprocess.Popen(
        [sys.executable, "-m", "services.search"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    return process.returncode, output


@contextmanager
def service(home: Path, **settings: str) -> Iterator[SearchServiceStub]:
    (port,) = free_ports(1)
    process = start(home, SEARCH_SERVER__PORT=str(port), **settings)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            yield SearchServiceStub(channel)
    finally:
        code, output = end(process)
    assert code == 0, output


def whole(stub: SearchServiceStub) -> pb.SearchResponse:
    deadline = time.monotonic() + 30
    request = pb.SearchRequest(vector=unit(0).tobytes(), model=MODEL, top_k=5)
    while True:
        try:
            answer = stub.Search(request, timeout=10)
            if not answer.partial:
                return answer
        except grpc.RpcError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_answers_the_same_after_a_restart_and_keeps_others_out(tmp_path: Path) -> None:
    record = pb.VectorRecord(image_id="i", product_id="p", category="toys", vector=unit(0).tobytes())
    with service(tmp_path) as stub:
        stub.Upsert(pb.UpsertRequest(records=[record], model=MODEL), timeout=30)
        before = whole(stub)
        with service(tmp_path, SEARCH_SEARCH_SECONDS="30") as second:
            # Often, since a traceback for every try to open it once filled the pipe to whoever reads the log.
            for _ in range(10):
                shards = second.DescribeShards(pb.DescribeShardsRequest(), timeout=30).shards
                reasons = {shard.error.message for shard in shards}
                assert all("cannot be opened: another process holds" in reason for reason in reasons), reasons
        assert whole(stub).shards[1].hits == before.shards[1].hits
    with service(tmp_path) as stub:
        after = whole(stub)
    assert [shard.hits for shard in after.shards] == [shard.hits for shard in before.shards]
    assert [hit.image_id for shard in after.shards for hit in shard.hits] == ["i"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SEARCH_SHARDZ": "x"}, "SHARDZ"),
        ({"SEARCH_SEARCH_SECONDS": "-1"}, "greater than 0"),
        ({"SEARCH_SHARDS": "nowhere.yaml"}, "no shard map at nowhere.yaml"),
        ({"SEARCH_ENDPOINT": "milvus:19530"}, "'milvus:19530' is neither http(s)://host:port nor a path"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    process = start(tmp_path, **settings)
    output, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    assert message.lower() in output.lower()

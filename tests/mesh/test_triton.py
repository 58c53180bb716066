"""Models on a Triton server: the whole mesh answers as it does with the models in its own processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tritonclient.grpc import InferenceServerClient

from evaluation.triton_server import TritonServer, running_triton
from offline.triton.__main__ import main as write_repository
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.v1 import gateway_pb2
from tests.demo_mesh import ROOT, STOCK, DemoMesh

MODELS = (DETECTOR, EMBEDDER)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Serves the released models."""
    home = tmp_path_factory.mktemp("triton")
    models, policy = str(ROOT / "models"), str(ROOT / "deploy/triton/policy.yaml")
    write = ["--platform", "python", "--models", models, "--policy", policy, "--out", str(home / "models")]
    assert write_repository(write) == 0
    with running_triton(home / "models", home) as server:
        yield server


def answers(demo: DemoMesh) -> list[gateway_pb2.ScanResponse]:
    photos = [demo.photo(key) for key in STOCK[:6]]
    photos.append(demo.products["football"].picture.read_bytes())
    return [demo.scan(photo, explain=True) for photo in photos]


def test_the_same_answers_as_in_process(demo: DemoMesh, triton: TritonServer) -> None:
    before = answers(demo)
    try:
        for service in ("detector", "embedder"):
            demo.mesh.restart(service, {f"{service.upper()}_RUNNER__ENDPOINT": triton.endpoint})
        after = answers(demo)
    finally:
        for service in ("detector", "embedder"):
            demo.mesh.restart(service)
    with InferenceServerClient(triton.address) as client:
        for model in MODELS:
            assert client.get_inference_statistics(model).model_stats[0].inference_count >= len(after)
    for there, here in zip(after, before, strict=True):
        assert not there.missing
        for answer in (there, here):
            answer.scan_id = ""
            answer.versions.ClearField("index_time")
            del answer.evidence.stages[:]
        assert there == here

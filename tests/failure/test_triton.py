"""What a service says and does when its Triton is full, slow, without the model, or gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from evaluation.triton_server import TritonServer, running_triton
from offline.triton.policy import ServingPolicy
from offline.triton.repository import Engines, write_model
from shiwu.chassis.calls import Call, current_call
from shiwu.chassis.errors import DeadlineError, OverloadedError, UnavailableError
from shiwu.cli.mesh import Layout, Mesh, free_ports, serving
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from shiwu.inference.runner import ModelError, ModelRunner
from shiwu.inference.triton import TritonRunner
from shiwu.v1.embedder_pb2 import EmbedRequest
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceStub
from shiwu.v1.vision_pb2 import Image, RawImage
from tests.demo_mesh import eventually
from tests.unit.inference import onnx_models

SQUARE = {"image": np.full((1, onnx_models.SIDE, onnx_models.SIDE, 3), 9, np.uint8)}
EXPLICIT = ("--model-control-mode=explicit", "--load-model=*")
SLOWLY = """
import time

class TritonPythonModel(TritonPythonModel):
    def execute(self, requests):
        time.sleep(0.3)
        return super().execute(requests)
"""


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of the released models, all alike."""
    home = tmp_path_factory.mktemp("releases")
    for name in ("embedder-small", "slow", "impatient"):
        onnx_models.release_embedder(home / name, name)
    return home


@pytest.fixture(scope="module")
def triton(releases: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Serves them: the slow one takes 0.3 s for a request and lets two wait, the impatient one lets none for long."""
    home = tmp_path_factory.mktemp("triton")
    one = {"max_batch": 1, "preferred_batches": (), "instances": 1}
    policies = {
        "embedder-small": ServingPolicy(max_batch=4, preferred_batches=()),
        "slow": ServingPolicy(**one, max_queue=2, max_wait_ms=60_000),
        "impatient": ServingPolicy(**one, max_wait_ms=50),
    }
    for name, policy in policies.items():
        version = write_model(releases / name, home / "models", "python", policy, Engines(home))
        if policy.max_batch == 1:
            with (version / "model.py").open("a") as source:
                source.write(SLOWLY)
    with running_triton(home / "models", home, EXPLICIT) as server:
        yield server


@pytest.fixture
async def opened(triton: TritonServer, releases: Path):
    """Opens one of the releases at the server."""
    runners: list[ModelRunner] = []

    def opener(name: str, **options) -> ModelRunner:
        runners.append(open_model(releases / name, RunnerOptions(endpoint=triton.endpoint, **options)))
        return runners[-1]

    yield opener
    for runner in runners:
        await runner.close()


@pytest.fixture
def control(triton: TritonServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(triton.address) as client:
        yield client


async def executions(control: InferenceServerClient, model: str) -> int:
    await asyncio.sleep(0.3)  # a run is counted some time after its answer
    return control.get_inference_statistics(model).model_stats[0].execution_count


async def served(runner: ModelRunner) -> bool:
    """Whether the model answers soon. Those whose time is up hold their places until Triton's batcher wakes."""
    for _ in range(100):
        with suppress(OverloadedError):
            return "embedding" in await runner.run(SQUARE)
        await asyncio.sleep(0.05)
    return False


async def test_a_full_queue_refuses_and_serves_again(opened) -> None:
    runner = opened("slow")
    answers = await asyncio.gather(*(runner.run(SQUARE) for _ in range(8)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, OverloadedError)]
    assert 4 <= len(refused) <= 6, answers  # the first may run before the others wait, or after
    assert "too many runs of model triton://" in str(refused[0])
    assert "Exceeds maximum queue size" in str(refused[0])
    assert len([each for each in answers if isinstance(each, dict)]) == 8 - len(refused)
    assert await served(runner)


async def test_who_waits_longer_than_the_policy_allows_is_refused(opened) -> None:
    runner = opened("impatient")
    answers = await asyncio.gather(*(runner.run(SQUARE) for _ in range(3)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, OverloadedError)]
    assert refused, answers
    assert all("Request timeout expired" in str(each) for each in refused)
    assert len([each for each in answers if isinstance(each, dict)]) == 3 - len(refused)


async def test_the_callers_deadline_empties_the_queue(opened, control: InferenceServerClient) -> None:
    runner = opened("slow")
    assert await served(runner)
    before = await executions(control, "slow")
    running = asyncio.create_task(runner.run(SQUARE))
    await asyncio.sleep(0.05)
    call = current_call.set(Call("/test", "1", "0" * 32, deadline=time.monotonic() + 0.1))
    waiting = await asyncio.gather(runner.run(SQUARE), runner.run(SQUARE), return_exceptions=True)
    current_call.reset(call)
    assert not running.done()
    assert [type(each) for each in waiting] == [DeadlineError] * 2, waiting
    assert "embedding" in await running
    assert await served(runner)
    assert await executions(control, "slow") == before + 2, "those who gave up were run all the same"


async def test_without_a_caller_the_limit_holds(opened) -> None:
    assert await served(opened("slow"))
    with pytest.raises(DeadlineError, match="was not run in time"):
        await opened("slow", limit=0.03).run(SQUARE)


async def test_an_unloaded_model_is_unavailable_until_it_is_loaded(opened, control: InferenceServerClient) -> None:
    runner = opened("embedder-small")
    assert await runner.ready()
    control.unload_model("embedder-small")
    with pytest.raises(UnavailableError, match="embedder-small/1 is not there: Request for unknown model"):
        await runner.run(SQUARE)
    assert not await runner.ready()
    control.load_model("embedder-small")
    assert await runner.ready()
    assert np.allclose((await runner.run(SQUARE))["embedding"], 3**-0.5)


@pytest.mark.parametrize("path", ["nobody", "embedder-small/9"])
async def test_what_the_server_does_not_have(triton: TritonServer, path: str) -> None:
    runner = open_model(f"{triton.endpoint}/{path}")
    assert not await runner.ready()
    with pytest.raises(UnavailableError, match=f"{path} is not there: Request for unknown model"):
        await runner.run(SQUARE)
    await runner.close()


async def test_a_model_that_is_not_what_its_manifest_promises(triton: TritonServer, releases: Path, tmp_path) -> None:
    manifest = onnx_models.release_embedder(tmp_path)
    other = manifest.inputs[0].model_copy(update={"shape": ("batch", 64, 64, 3)})
    address = f"{triton.endpoint}/{manifest.name}/{manifest.version}"
    runner = TritonRunner(address, RunnerOptions(), manifest.model_copy(update={"inputs": (other,)}))
    for call in (runner.ready(), runner.run(SQUARE)):
        with pytest.raises(ModelError, match=r"embedder-small@1 promises inputs .*64, 64.* has .*32, 32"):
            await call
    await runner.close()


async def test_a_batch_that_is_too_large_for_the_model(opened) -> None:
    with pytest.raises(ModelError, match="batch-size must be <= 4"):
        await opened("embedder-small").run({"image": np.repeat(SQUARE["image"], 5, axis=0)})


async def test_nothing_listens() -> None:
    runner = open_model("triton://127.0.0.1:9/embedder")
    for call in (runner.ready(), runner.run(SQUARE)):
        with pytest.raises(UnavailableError, match=r"triton://127\.0\.0\.1:9/embedder is not there"):
            await call
    await runner.close()


@pytest.mark.timeout(180)
def test_a_service_outlives_its_triton(triton: TritonServer, releases: Path, tmp_path: Path) -> None:
    """Started without a Triton, then with one that is killed and comes back; what is asked meanwhile is UNAVAILABLE."""
    triton.kill()
    extra = {"EMBEDDER_MODELS": f'["{releases / "embedder-small"}"]', "EMBEDDER_RUNNER__ENDPOINT": triton.endpoint}
    mesh = Mesh(Layout(tmp_path, free_ports(), extra=extra))
    (tmp_path / "logs").mkdir()
    mesh.start("embedder")
    target = mesh.layout.target("embedder")
    try:
        with grpc.insecure_channel(target) as channel:
            grpc.channel_ready_future(channel).result(20)
            assert not serving(target)
            assert embed(channel) is grpc.StatusCode.UNAVAILABLE
            triton.start()
            eventually(lambda: serving(target), 10)
            assert embed(channel) is grpc.StatusCode.OK
            triton.kill()
            assert embed(channel) is grpc.StatusCode.UNAVAILABLE
            eventually(lambda: not serving(target), 5)
            triton.start()
            eventually(lambda: serving(target), 10)
            assert embed(channel) is grpc.StatusCode.OK
        assert "connections to all backends failing" in mesh.log("embedder").read_text()
    finally:
        mesh.stop()


def embed(channel: grpc.Channel) -> grpc.StatusCode:
    pixels = np.full((40, 40, 3), (200, 100, 0), np.uint8)
    request = EmbedRequest(images=[Image(raw=RawImage(width=40, height=40, rgb=pixels.tobytes()))])
    try:
        (embedding,) = EmbedderServiceStub(channel).Embed(request, timeout=5).embeddings
    except grpc.RpcError as error:
        return error.code()
    assert np.allclose(np.frombuffer(embedding.vector, "<f4"), np.array([2, 1, 0]) / 5**0.5, atol=1e-3)
    return grpc.StatusCode.OK

"""The embedder as others see it: a real server, real models, real messages."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from PIL import Image as Pillow

from services.embedder.embedding import Embedder, by_id
from services.embedder.servicer import EmbedderService
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.inference.manifest import EmbedderManifest, read_manifest
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from shiwu.inference.runner import ModelRunner
from shiwu.v1 import embedder_pb2 as pb
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceStub, add_EmbedderServiceServicer_to_server
from shiwu.v1.vision_pb2 import Image, RawImage
from shiwu.vision.decode import Limits
from shiwu.wire.images import raw_image
from tests.unit.inference import onnx_models

NAME = "shiwu.v1.EmbedderService"
ROOT = Path(__file__).parents[3]
RELEASED = ROOT / "models/embedder-lite0"


class Served:
    """An embedder on a free port, and what talks to it."""

    def __init__(self, channel: grpc.aio.Channel, runners: list[ModelRunner]) -> None:
        self.stub = EmbedderServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)
        self.runners = runners

    async def embed(self, *images: Image, model: str = "") -> pb.EmbedResponse:
        return await self.stub.Embed(pb.EmbedRequest(images=images, model=model), timeout=30)

    async def vectors(self, *images: Image, model: str = "") -> np.ndarray:
        answer = await self.embed(*images, model=model)
        return np.stack([np.frombuffer(each.vector, "<f4") for each in answer.embeddings])

    async def refusal(self, *images: Image, model: str = "") -> tuple[grpc.StatusCode, str, str]:
        """Status code, message, and the field that the details name."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.embed(*images, model=model)
        status = rpc_status.from_call(caught.value)
        violations = BadRequest()
        named = [v.field for d in status.details if d.Unpack(violations) for v in violations.field_violations]
        return caught.value.code(), caught.value.details(), named[0] if named else ""


async def serve(directories: Sequence[Path], options: RunnerOptions | None = None) -> AsyncIterator[Served]:
    runners = [open_model(directory, options) for directory in directories]
    manifests = [read_manifest(directory) for directory in directories]
    assert all(isinstance(manifest, EmbedderManifest) for manifest in manifests)
    embedders = by_id([Embedder(m, r) for m, r in zip(manifests, runners, strict=True)])
    servicer = EmbedderService(embedders, max_images=5, limits=Limits(max_pixels=1_000_000))
    checks = {name: each.ready for name, each in embedders.items()}
    add = partial(add_EmbedderServiceServicer_to_server, servicer)
    async with (
        running(NAME, add, ServerSettings(port=0), checks=checks) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Served(channel, runners)
    for runner in runners:
        await runner.close()


@pytest.fixture
async def small(tmp_path: Path):
    """Two small models: the general one and, listed before it, one that is kept for shoes."""
    onnx_models.release_embedder(tmp_path / "own", "embedder-own", categories=("shoes",), margin=0.25)
    onnx_models.release_embedder(tmp_path / "general")
    async for served in serve([tmp_path / "own", tmp_path / "general"]):
        yield served


@pytest.fixture
async def released():
    async for served in serve([RELEASED]):
        yield served


def plain(*colour: int, size: tuple[int, int] = (40, 50)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


def encoded(pixels: np.ndarray, kind: str, **options) -> Image:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, kind, **options)
    return Image(encoded=buffer.getvalue())


async def test_a_unit_vector_for_each_picture_in_their_order(small: Served) -> None:
    answer = await small.embed(raw_image(plain(200, 0, 0)), raw_image(plain(0, 30, 40)))
    assert answer.model == "embedder-small@1"
    assert [len(each.vector) for each in answer.embeddings] == [12, 12]
    vectors = np.stack([np.frombuffer(each.vector, "<f4") for each in answer.embeddings])
    assert np.allclose(vectors, [[1, 0, 0], [0, 0.6, 0.8]], atol=1e-6)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_files_give_what_their_pixels_give(small: Served, kind: str) -> None:
    pixels = plain(20, 120, 200, size=(300, 400))
    vectors = await small.vectors(encoded(pixels, kind), raw_image(pixels))
    assert np.allclose(vectors[0], vectors[1], atol=0.01)


async def test_models_are_listed_the_default_first(small: Served) -> None:
    models = (await small.stub.ListModels(pb.ListModelsRequest())).models
    assert [each.model for each in models] == ["embedder-small@1", "embedder-own@1"]
    assert [list(each.categories) for each in models] == [[], ["shoes"]]
    assert [each.dimension for each in models] == [3, 3]
    assert [each.crop_margin for each in models] == pytest.approx([0.1, 0.25])
    assert {each.input_size for each in models} == {onnx_models.SIDE}


async def test_merchants_pictures_have_parts_of_their_own(released: Served) -> None:
    [model] = (await released.stub.ListModels(pb.ListModelsRequest())).models
    assert (model.input_size, model.gallery_input_size) == (224, 280)
    framed = np.pad(plain(200, 0, 0, size=(220, 220)), ((40, 40), (40, 40), (0, 0)))
    request = pb.EmbedRequest(images=[raw_image(framed), raw_image(plain(200, 0, 0))], gallery=True)
    answer = await released.stub.Embed(request, timeout=30)
    of_gallery = np.stack([np.frombuffer(each.vector, "<f4") for each in answer.embeddings])
    alike = (of_gallery * await released.vectors(*request.images)).sum(axis=1)
    assert 0.5 < alike[0] < 0.99 < 0.9999 < alike[1], "all parts of an even picture are alike"


async def test_the_model_asked_for_answers(small: Served) -> None:
    assert (await small.embed(raw_image(plain(9, 9, 9)), model="embedder-own@1")).model == "embedder-own@1"


async def test_an_unknown_model_is_not_found(small: Served) -> None:
    code, message, _ = await small.refusal(raw_image(plain(9, 9, 9)), model="embedder-own@2")
    assert code is grpc.StatusCode.NOT_FOUND
    assert message == "model: no model 'embedder-own@2'; this embedder runs embedder-small@1, embedder-own@1"


GOOD = raw_image(plain(9, 9, 9))


@pytest.mark.parametrize(
    ("images", "field", "words"),
    [
        ([], "images", "has 0 pictures; expected 1 to 5"),
        ([GOOD] * 6, "images", "has 6 pictures; expected 1 to 5"),
        ([GOOD, Image()], "images[1]", "no picture; set encoded or raw"),
        ([GOOD, Image(encoded=b"")], "images[1].encoded", "the file is empty"),
        ([Image(encoded=b"hello, world")], "images[0].encoded", "of no known type"),
        ([encoded(plain(1, 1, 1, size=(1, 1)), "PNG")], "images[0].encoded", "1 x 1 pixels; each side needs at least"),
        ([encoded(plain(1, 1, 1, size=(1100, 1000)), "PNG")], "images[0].encoded", "at most 1,000,000"),
        ([Image(encoded=encoded(plain(1, 1, 1), "JPEG").encoded[:-9])], "images[0].encoded", "truncated"),
        (
            [GOOD, GOOD, Image(raw=RawImage(width=3, height=3, rgb=b"x"))],
            "images[2].raw.rgb",
            "has 1 bytes; expected 3",
        ),
        ([Image(raw=RawImage(width=-3, height=3))], "images[0].raw.width", "is -3; expected at least 1"),
    ],
)
async def test_bad_requests_name_the_field(small: Served, images: list[Image], field: str, words: str) -> None:
    code, message, named = await small.refusal(*images)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith(f"{field}: ")
    assert words in message
    assert named == field


async def test_nan_out_of_the_model_is_no_answer(small: Served) -> None:
    code, message, _ = await small.refusal(GOOD, raw_image(plain(0, 0, 0)))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "embedder-small@1 gave 3 numbers in embedding that are NaN" in message
    assert len(await small.vectors(GOOD)) == 1


async def test_health_follows_every_model(small: Served) -> None:
    request = health_pb2.HealthCheckRequest(service=NAME)
    assert (await small.health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    await small.runners[0].close()
    for _ in range(60):
        if (await small.health.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING:
            return
        await asyncio.sleep(0.1)
    pytest.fail("still serving")


async def test_an_expired_deadline_is_one(small: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await small.stub.Embed(pb.EmbedRequest(images=[GOOD]), timeout=0.0001)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def scene(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full((300, 260, 3), rng.integers(150, 250, 3), np.uint8)
    for _ in range(6):
        x, y, radius = (int(v) for v in rng.integers((20, 20, 15), (240, 280, 70)))
        cv2.circle(image, (x, y), radius, [int(v) for v in rng.integers(0, 256, 3)], -1)
    return image


async def test_the_released_model_knows_a_picture_again(released: Served) -> None:
    [model] = (await released.stub.ListModels(pb.ListModelsRequest())).models
    assert model.model == read_manifest(RELEASED).id
    again = np.clip(scene(1)[8:-5, 4:-9].astype(float) * 0.9 + 6, 0, 255).astype(np.uint8)
    vectors = await released.vectors(raw_image(scene(1)), raw_image(again), raw_image(scene(2)))
    assert vectors.shape == (3, model.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    same, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert same > 0.9
    assert same > other + 0.02


async def test_a_batch_gives_what_single_pictures_give(released: Served) -> None:
    images = [raw_image(scene(seed)) for seed in range(4)]
    together = await released.vectors(*images)
    alone = np.concatenate([await released.vectors(image) for image in images])
    assert np.allclose(together, alone, atol=1e-4)


async def test_a_file_gives_nearly_what_its_pixels_give(released: Served) -> None:
    large = cv2.resize(scene(3), (1040, 900), interpolation=cv2.INTER_CUBIC)
    vectors = await released.vectors(encoded(large, "JPEG", quality=92), raw_image(large))
    assert vectors[0] @ vectors[1] > 0.99


async def test_too_many_at_once_are_refused_not_delayed() -> None:
    async for served in serve([RELEASED], RunnerOptions(concurrency=1, max_waiting=1)):
        images = [raw_image(scene(0))] * 5
        answers = await asyncio.gather(*(served.embed(*images) for _ in range(12)), return_exceptions=True)
        refused = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
        assert {each.code() for each in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert 2 <= 12 - len(refused) < 12
        assert len(await served.vectors(*images)) == 5

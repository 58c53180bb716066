"""The detector as others see it: a real server, a real model, real messages."""

from __future__ import annotations

import asyncio
import io
import math
import signal
import socket
import sys
from collections.abc import AsyncIterator
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

from services.detector.detection import Detector
from services.detector.servicer import DetectorService
from shiwu.categories import CATEGORIES
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from shiwu.inference.manifest import DetectorManifest, read_manifest
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from shiwu.inference.released import DETECTOR
from shiwu.inference.runner import ModelRunner
from shiwu.v1 import detector_pb2 as pb
from shiwu.v1.detector_pb2_grpc import DetectorServiceStub, add_DetectorServiceServicer_to_server
from shiwu.v1.vision_pb2 import Image, RawImage
from shiwu.vision.decode import Limits
from shiwu.wire.images import raw_image
from tests.unit.inference import onnx_models

NAME = "shiwu.v1.DetectorService"
RELEASED = Path(__file__).parents[3] / "models" / DETECTOR


class Served:
    """A detector on a free port, and what talks to it."""

    def __init__(self, channel: grpc.aio.Channel, runner: ModelRunner) -> None:
        self.stub = DetectorServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)
        self.runner = runner

    async def detect(self, image: Image, **fields) -> pb.DetectResponse:
        return await self.stub.Detect(pb.DetectRequest(image=image, **fields), timeout=20)

    async def refusal(self, image: Image, **fields) -> tuple[grpc.StatusCode, str, str]:
        """Status code, message, and the field that the details name."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.detect(image, **fields)
        status = rpc_status.from_call(caught.value)
        violations = BadRequest()
        named = [v.field for d in status.details if d.Unpack(violations) for v in violations.field_violations]
        return caught.value.code(), caught.value.details(), named[0] if named else ""


async def serve(directory: Path, options: RunnerOptions | None = None) -> AsyncIterator[Served]:
    manifest = read_manifest(directory)
    assert isinstance(manifest, DetectorManifest)
    runner = open_model(directory, options)
    detector = Detector(manifest, runner)
    add = partial(add_DetectorServiceServicer_to_server, DetectorService(detector, limits=Limits(max_pixels=1_000_000)))
    async with (
        running(NAME, add, ServerSettings(port=0), checks={manifest.id: detector.ready}) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Served(channel, runner)
    await runner.close()


@pytest.fixture
async def small(tmp_path: Path):
    onnx_models.release_detector(tmp_path)
    async for served in serve(tmp_path):
        yield served


@pytest.fixture
async def released():
    async for served in serve(RELEASED):
        yield served


def quarters() -> np.ndarray:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, 32:] = (230, 90, 0)
    image[32:, :32] = (0, 0, 250)
    return image


def encoded(pixels: np.ndarray, kind: str, **options) -> Image:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, kind, **options)
    return Image(encoded=buffer.getvalue())


async def test_answers_with_boxes_scores_and_every_category(small: Served) -> None:
    answer = await small.detect(raw_image(quarters()))
    assert answer.model == "detector-small@1"
    assert answer.input_size == 32
    blue, red = answer.objects
    assert (blue.box.x_min, blue.box.y_min, blue.box.x_max, blue.box.y_max) == (0, 0.5, 0.5, 1)
    assert (red.box.x_min, red.box.y_min, red.box.x_max, red.box.y_max) == (0.5, 0, 1, 0.5)
    assert [(each.category, round(each.score, 3)) for each in red.categories] == [
        ("shoes", 0.902),
        ("bags", 0.353),
        ("food", 0.0),
    ]
    assert red.score == red.categories[0].score
    assert blue.score > red.score


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_files_give_what_their_pixels_give(small: Served, kind: str) -> None:
    answer = await small.detect(encoded(quarters(), kind, quality=95))
    raw = await small.detect(raw_image(quarters()))
    assert [each.categories[0].category for each in answer.objects] == ["food", "shoes"]
    for one, other in zip(answer.objects, raw.objects, strict=True):
        assert one.box == other.box
        assert one.score == pytest.approx(other.score, abs=0.05)


async def test_min_score_and_max_objects(small: Served) -> None:
    image = raw_image(quarters())
    assert len((await small.detect(image, min_score=0.95)).objects) == 1
    assert len((await small.detect(image, max_objects=1)).objects) == 1
    assert len((await small.detect(image, min_score=0.0)).objects) == 4
    assert len((await small.detect(image, min_score=1.0)).objects) == 0


@pytest.mark.parametrize(
    ("image", "fields", "field", "words"),
    [
        (None, {}, "image", "no picture; set encoded or raw"),
        (Image(), {}, "image", "no picture"),
        (Image(encoded=b""), {}, "image.encoded", "the file is empty"),
        (Image(encoded=b"I am a photo, says my name"), {}, "image.encoded", "of no known type"),
        (Image(encoded=b"GIF89a" + bytes(40)), {}, "image.encoded", "a GIF; expected a JPEG, PNG, WebP or HEIC"),
        (
            encoded(np.zeros((1, 1, 3), np.uint8), "PNG"),
            {},
            "image.encoded",
            "1 x 1 pixels; each side needs at least 16",
        ),
        (encoded(np.zeros((1100, 1000, 3), np.uint8), "JPEG"), {}, "image.encoded", "1000 x 1100 pixels; at most"),
        (Image(encoded=encoded(quarters(), "JPEG").encoded[:400]), {}, "image.encoded", "truncated"),
        (
            Image(raw=RawImage(width=4, height=4, rgb=bytes(47))),
            {},
            "image.raw.rgb",
            "has 47 bytes; expected 4 x 4 x 3",
        ),
        (Image(raw=RawImage(width=0, height=4)), {}, "image.raw.width", "is 0; expected at least 1"),
        (raw_image(quarters()), {"min_score": 1.5}, "min_score", "is 1.5; expected 0 to 1"),
        (raw_image(quarters()), {"min_score": -0.5}, "min_score", "is -0.5"),
        (raw_image(quarters()), {"min_score": math.nan}, "min_score", "is nan"),
        (raw_image(quarters()), {"max_objects": 0}, "max_objects", "is 0; expected 1 to 100"),
        (raw_image(quarters()), {"max_objects": -1}, "max_objects", "is -1"),
        (raw_image(quarters()), {"max_objects": 1_000_000}, "max_objects", "is 1000000"),
    ],
)
async def test_bad_requests_name_the_field(small: Served, image: Image, fields: dict, field: str, words: str) -> None:
    code, message, named = await small.refusal(image, **fields)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith(f"{field}: ")
    assert words in message
    assert named == field


async def test_a_raw_picture_of_one_pixel_works(small: Served) -> None:
    """Crops between services may be that small."""
    answer = await small.detect(raw_image(np.full((1, 1, 3), 255, np.uint8)))
    assert answer.objects


async def test_nan_out_of_the_model_is_no_answer(small: Served) -> None:
    code, message, _ = await small.refusal(raw_image(np.zeros((64, 64, 3), np.uint8)))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "detector-small@1 gave 16 numbers in deltas that are NaN" in message
    assert (await small.detect(raw_image(quarters()))).objects


async def test_health_follows_the_model(small: Served) -> None:
    request = health_pb2.HealthCheckRequest(service=NAME)
    assert (await small.health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    await small.runner.close()
    for _ in range(60):
        if (await small.health.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("still serving")
    code, message, _ = await small.refusal(raw_image(quarters()))
    assert (code, "closed" in message) == (grpc.StatusCode.UNAVAILABLE, True)


async def test_an_expired_deadline_is_one(released: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await released.stub.Detect(pb.DetectRequest(image=raw_image(quarters())), timeout=0.0005)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await released.detect(raw_image(quarters()))).model


async def test_too_many_at_once_are_refused_not_delayed(tmp_path: Path) -> None:
    async for served in serve(RELEASED, RunnerOptions(concurrency=1, max_waiting=1)):
        image = raw_image(quarters())
        answers = await asyncio.gather(*(served.detect(image) for _ in range(12)), return_exceptions=True)
        refused = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
        assert {each.code() for each in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert 2 <= 12 - len(refused) < 12
        assert (await served.detect(image)).model


async def test_the_released_model_finds_a_thing_on_a_plain_ground(released: Served) -> None:
    image = np.full((480, 640, 3), 235, np.uint8)
    cv2.rectangle(image, (220, 120), (430, 380), (40, 60, 150), -1)
    cv2.circle(image, (325, 250), 60, (220, 180, 30), -1)
    answer = await released.detect(raw_image(image), min_score=0.05)
    assert answer.model == read_manifest(RELEASED).id
    assert answer.objects
    assert {each.category for each in answer.objects[0].categories} == set(CATEGORIES)
    best = answer.objects[0]
    assert [each.score for each in best.categories] == sorted((each.score for each in best.categories), reverse=True)
    assert best.box.x_min < 325 / 640 < best.box.x_max
    assert best.box.y_min < 250 / 480 < best.box.y_max


async def start(port: int, **variables: str) -> asyncio.subprocess.Process:
    environment = {"PATH": "/usr/bin:/bin", "DETECTOR_SERVER__PORT": str(port), **variables}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.detector",
        env=environment,
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_runs_as_a_process(tmp_path: Path) -> None:
    onnx_models.release_detector(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await start(port, DETECTOR_MODEL=str(tmp_path))
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            request = pb.DetectRequest(image=raw_image(quarters()))
            answer = await DetectorServiceStub(channel).Detect(request, timeout=30, wait_for_ready=True)
        assert len(answer.objects) == 2
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@pytest.mark.parametrize(
    ("release", "words"),
    [(onnx_models.release_embedder, b"DETECTOR_MODEL must name a detector"), (None, b"no model in")],
)
async def test_a_start_without_a_detector_says_why(tmp_path: Path, release, words: bytes) -> None:
    if release:
        release(tmp_path)
    process = await start(0, DETECTOR_MODEL=str(tmp_path))
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert words in output

"""A real gateway in front of real little servers: scans, overload and bad input."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import ANY

import grpc
import numpy as np
import pytest
from google.protobuf.json_format import MessageToJson
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from services.gateway.ports import Box
from shiwu.chassis.admission import AdmissionSettings
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.vision_pb2 import Box as BoxMessage
from shiwu.v1.vision_pb2 import Image, RawImage
from shiwu.wire.boxes import from_box
from tests.unit.gateway.photos import ROBOT, UNKNOWN, jpeg, raw, shot
from tests.unit.gateway.refusals import refused
from tests.unit.gateway.servers import Mesh
from tests.unit.gateway.world import GENERAL, STOCK, World, noisy, photo, tile


def retry_after(error):
    """Seconds, as the error's details say."""
    for detail in rpc_status.from_call(error).details:
        info = RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds()
    return None


class TestScan:
    async def test_a_photo_becomes_offers(self, mesh):
        before = time.time()
        answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
        assert answer.outcome == pb.OUTCOME_MATCHED
        style = answer.styles[0]
        assert (style.style.title, style.products[0].product.title) == ("Robot-Style", "Robot")
        assert [offer.merchant for offer in style.products[0].offers] == ["near", "far"]
        assert style.products[0].image_id == "robot-a"
        assert style.products[0].similarity > 0.95
        assert [article.article_id for article in answer.articles] == ["a1"]
        assert answer.crop_source == pb.CROP_SOURCE_DETECTED
        assert len(answer.objects) == 1
        crop = answer.crop
        assert (crop.x_min, crop.y_min) == (pytest.approx(240 / 640, abs=0.02), pytest.approx(160 / 480, abs=0.02))
        assert (answer.versions.detector, answer.versions.embedder) == ("tile-boxes@1", GENERAL.id)
        assert before <= answer.versions.index_time.ToMicroseconds() / 1e6 <= time.time()
        assert not answer.missing
        assert not answer.HasField("evidence")
        assert sum(each.score for each in answer.categories) == pytest.approx(1.0, abs=1e-5)

    async def test_products_that_the_catalogue_does_not_know_keep_their_ids(self, mesh):
        answer = await mesh.stub.Scan(pb.ScanRequest(image=jpeg(shot(4))))
        assert answer.styles[0].products[0].product.product_id == "chair"
        assert answer.styles[0].style.style_id == ""
        assert not answer.styles[0].products[0].offers

    async def test_evidence_on_request(self, mesh):
        answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT, explain=True))
        evidence = answer.evidence
        assert [stage.stage for stage in evidence.stages] == [
            *("decode", "detect", "embed", "search", "vote", "rerank", "describe")
        ]
        starts = [stage.start.ToMicroseconds() for stage in evidence.stages]
        assert starts == sorted(starts)
        assert all(stage.elapsed.ToMicroseconds() > 0 for stage in evidence.stages)
        assert len(evidence.vote.shares) == 5
        shares = evidence.vote.detector_share + sum(share.share for share in evidence.vote.shares)
        assert shares == pytest.approx(1.0, abs=1e-5)
        assert [each.rank_after for each in evidence.candidates] == list(range(1, len(evidence.candidates) + 1))
        first = evidence.candidates[0]
        assert (first.product_id, first.rank_before, first.category) == ("robot", 1, "toys")
        assert first.distance == pytest.approx(1 - first.similarity, abs=1e-5)
        assert evidence.rerank == "none"
        MessageToJson(answer)

    async def test_raw_pixels_do_as_well(self, mesh):
        answer = await mesh.stub.Scan(pb.ScanRequest(image=raw(shot(3))))
        assert answer.styles[0].products[0].product.product_id == "robot"

    async def test_a_focus_is_followed(self, mesh):
        two = noisy(photo((tile(3, 220), 20, 100), (tile(4, 120), 480, 100)), 1, 4.0)
        focus = from_box(Box(0.72, 0.2, 0.96, 0.48))
        answer = await mesh.stub.Scan(pb.ScanRequest(image=jpeg(two), focus=focus))
        assert answer.styles[0].products[0].product.product_id == "chair"
        assert answer.objects[0].box.x_min > 0.7
        focus = BoxMessage(x_min=0.0, y_min=0.8, x_max=0.2, y_max=1.0)
        answer = await mesh.stub.Scan(pb.ScanRequest(image=jpeg(two), focus=focus))
        assert (answer.crop_source, answer.crop) == (pb.CROP_SOURCE_FOCUS, focus)

    @pytest.mark.parametrize(("top_k", "styles"), [(1, 1), (2, 2), (100, 4)])
    async def test_top_k(self, mesh, top_k, styles):
        mesh.world.detector.scores = (("toys", 0.6), ("shoes", 0.6), ("bags", 0.6), ("furniture", 0.6))
        answer = await mesh.stub.Scan(pb.ScanRequest(image=UNKNOWN, top_k=top_k))
        assert len(answer.styles) == styles

    async def test_scan_ids_differ(self, mesh):
        ids = {(await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))).scan_id for _ in range(3)}
        assert len(ids) == 3

    async def test_many_at_once(self, mesh):
        requests = [pb.ScanRequest(image=jpeg(shot(i % 5))) for i in range(20)]
        answers = await asyncio.gather(*(mesh.stub.Scan(request) for request in requests))
        found = [answer.styles[0].products[0].product.product_id for answer in answers]
        assert found == [STOCK[i % 5].product_id for i in range(20)]


ONE_AT_A_TIME = AdmissionSettings(initial=1, minimum=1, maximum=1, burst=0, wait=0.0)


class TestOverload:
    async def test_a_scan_too_many_is_refused_and_told_when_to_come_again(self):
        async with Mesh(World(STOCK)).running(admission=ONE_AT_A_TIME) as mesh:
            mesh.world.detector.delay = 0.3
            first = asyncio.ensure_future(mesh.stub.Scan(pb.ScanRequest(image=ROBOT)))
            await mesh.world.detector.begun.wait()
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
            assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert retry_after(error.value) == 1.0
            assert (await first).outcome == pb.OUTCOME_MATCHED
            assert (await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))).outcome == pb.OUTCOME_MATCHED

    async def test_frames_too_many_are_skipped_and_the_stream_goes_on(self):
        async with Mesh(World(STOCK)).running(admission=ONE_AT_A_TIME) as mesh:
            mesh.world.detector.delay = 0.3
            scan = asyncio.ensure_future(mesh.stub.Scan(pb.ScanRequest(image=ROBOT)))
            await mesh.world.detector.begun.wait()
            stream = mesh.stub.ScanStream()
            await stream.write(pb.ScanStreamRequest(settings=pb.ScanStreamSettings()))
            await stream.write(pb.ScanStreamRequest(frame=pb.Frame(number=1, image=ROBOT)))
            event = await stream.read()
            assert (event.frame_number, event.skipped.reason) == (1, pb.FrameSkipped.REASON_BEHIND)
            await scan
            await stream.write(pb.ScanStreamRequest(frame=pb.Frame(number=2, image=ROBOT)))
            event = await stream.read()
            assert (event.frame_number, event.update.outcome) == (2, pb.OUTCOME_MATCHED)
            stream.cancel()

    async def test_a_stream_whose_every_frame_was_too_many_is_refused(self):
        async with Mesh(World(STOCK)).running(admission=ONE_AT_A_TIME) as mesh:
            mesh.world.detector.delay = 0.3
            scan = asyncio.ensure_future(mesh.stub.Scan(pb.ScanRequest(image=ROBOT)))
            await mesh.world.detector.begun.wait()
            stream = mesh.stub.ScanStream()
            await stream.write(pb.ScanStreamRequest(settings=pb.ScanStreamSettings()))
            await stream.write(pb.ScanStreamRequest(frame=pb.Frame(number=1, image=ROBOT)))
            await stream.read()
            await stream.done_writing()
            assert await refused(stream.read()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, ANY)
            await scan


class TestBadInput:
    @pytest.mark.parametrize(
        ("request_", "field", "text"),
        [
            (pb.ScanRequest(), "image:", "encoded or raw"),
            (pb.ScanRequest(image=Image(encoded=b"")), "image.encoded:", "empty"),
            (pb.ScanRequest(image=Image(encoded=ROBOT.encoded[:5000])), "image.encoded:", "truncated"),
            (pb.ScanRequest(image=Image(encoded=b"a text, named .jpg")), "image.encoded:", "JPEG, PNG"),
            (pb.ScanRequest(image=raw(np.zeros((1, 1, 3), np.uint8))), "image:", "1 x 1"),
            (pb.ScanRequest(image=Image(raw=RawImage(width=64, height=64, rgb=b"12"))), "image.raw.rgb:", "12288"),
            (pb.ScanRequest(image=ROBOT, top_k=0), "top_k:", "expected 1 to 100, got 0"),
            (pb.ScanRequest(image=ROBOT, top_k=-1), "top_k:", "got -1"),
            (pb.ScanRequest(image=ROBOT, top_k=10**6), "top_k:", "got 1000000"),
            (pb.ScanRequest(image=ROBOT, focus=BoxMessage()), "focus", "x_min"),
            (pb.ScanRequest(image=ROBOT, focus=BoxMessage(x_min=0.5, x_max=0.4, y_max=1)), "focus", "x_max is 0.4"),
            (pb.ScanRequest(image=ROBOT, focus=BoxMessage(x_max=float("nan"), y_max=1)), "focus", "nan"),
        ],
    )
    async def test_is_told_by_field(self, mesh, request_, field, text):
        code, details = await refused(mesh.stub.Scan(request_))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert details.startswith(field)
        assert text in details
        assert mesh.world.detector.calls == 0

    async def test_an_expired_deadline(self, mesh):
        code, _ = await refused(mesh.stub.Scan(pb.ScanRequest(image=ROBOT), timeout=0.002))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED

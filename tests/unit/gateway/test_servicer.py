"""A real gateway in front of real little servers."""

from __future__ import annotations

import asyncio
import io
import time
from unittest.mock import ANY

import cv2
import grpc
import numpy as np
import pytest
from google.protobuf.json_format import MessageToJson
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status
from PIL import Image as Pillow

from services.gateway.ports import Box
from shiwu.chassis.admission import AdmissionSettings
from shiwu.v1 import catalog_pb2, detector_pb2, embedder_pb2, search_pb2
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.catalog_resources_pb2 import VERDICT_RIGHT, VERDICT_WRONG
from shiwu.v1.vision_pb2 import Box as BoxMessage
from shiwu.v1.vision_pb2 import CategoryScore, DetectedObject, Image, RawImage
from shiwu.wire.boxes import from_box
from tests.unit.gateway.servers import Mesh
from tests.unit.gateway.test_pipeline import shot
from tests.unit.gateway.world import GENERAL, STOCK, World, noisy, photo, tile


def jpeg(pixels, **options):
    data = io.BytesIO()
    Pillow.fromarray(pixels).save(data, "JPEG", quality=95, **options)
    return Image(encoded=data.getvalue())


def raw(pixels):
    return Image(raw=RawImage(width=pixels.shape[1], height=pixels.shape[0], rgb=pixels.tobytes()))


def retry_after(error):
    """Seconds, as the error's details say."""
    for detail in rpc_status.from_call(error).details:
        info = RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds()
    return None


ROBOT = jpeg(shot(3))
UNKNOWN = jpeg(shot(99))


@pytest.fixture
async def mesh():
    async with Mesh(World(STOCK)).running() as mesh:
        yield mesh


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details()


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


class TestLosses:
    async def test_killed_parts_are_named(self, mesh):
        assert (await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))).outcome == pb.OUTCOME_MATCHED
        mesh.world.detector.scores = (("toys", 0.9),)
        for part in ("catalog", "classifier"):
            await mesh.kill(part)
        answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
        assert [missing.part for missing in answer.missing] == ["classifier", "catalog"]
        assert answer.outcome == pb.OUTCOME_MATCHED
        product = answer.styles[0].products[0].product
        assert (product.product_id, product.title) == ("robot", "")
        assert answer.styles[0].style.style_id == "robot-style"
        await mesh.kill("search")
        answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
        assert ([missing.part for missing in answer.missing], answer.outcome) == (["search"], pb.OUTCOME_UNDECIDED)
        assert answer.missing[0].reason.startswith("search: ")
        assert answer.missing[0].fallback
        assert len(answer.objects) == 1
        await mesh.kill("detector")
        await mesh.kill("embedder")
        answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
        assert {missing.part for missing in answer.missing} == {"detector", "embedder"}
        assert (answer.outcome, answer.crop_source) == (pb.OUTCOME_UNDECIDED, pb.CROP_SOURCE_CENTRE)

    async def test_a_lost_shard_is_named(self, mesh):
        mesh.world.index.lost = {"home"}
        answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
        assert [(missing.part, missing.reason) for missing in answer.missing] == [("search/home", "no connection")]
        assert answer.outcome == pb.OUTCOME_UNDECIDED
        assert not answer.versions.HasField("index_time")

    async def test_a_part_that_hangs_is_left_behind_in_the_callers_time(self, mesh):
        await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
        mesh.world.detector.delay = 30.0
        start = time.monotonic()
        centre = jpeg(photo((tile(3, 320), 40, 40), size=(400, 400)))
        answer = await mesh.stub.Scan(pb.ScanRequest(image=centre), timeout=1.0)
        assert time.monotonic() - start < 1.0
        assert [missing.part for missing in answer.missing] == ["detector"]
        assert answer.outcome == pb.OUTCOME_MATCHED

    async def test_a_bug_in_a_part_is_a_loss_of_that_part(self, mesh):
        mesh.world.voter.error = None
        mesh.world.catalog.error = KeyError("a bug")
        answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
        assert [missing.part for missing in answer.missing] == ["catalog"]
        assert "a bug" not in answer.missing[0].reason, "details stay in that part's log"


class TestNonsense:
    """A part that answers what cannot be is as good as lost."""

    async def lost(self, mesh):
        answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
        assert answer.outcome != pb.OUTCOME_NOT_IN_CATALOGUE
        return {missing.part: missing.reason for missing in answer.missing}

    @pytest.mark.parametrize(
        ("thing", "text"),
        [
            (DetectedObject(score=0.5), "objects[0].box"),
            (DetectedObject(box=BoxMessage(x_max=1, y_max=1), score=float("nan")), "objects[0]"),
            (
                DetectedObject(
                    box=BoxMessage(x_max=1, y_max=1),
                    score=0.5,
                    categories=[CategoryScore(category="toys", score=float("nan"))],
                ),
                "objects[0]",
            ),
        ],
    )
    async def test_of_the_detector(self, mesh, thing, text):
        mesh.detector.answer = detector_pb2.DetectResponse(objects=[thing])
        assert text in (await self.lost(mesh))["detector"]

    @pytest.mark.parametrize(
        "vector", [b"", bytes(768), np.full(192, np.nan, "<f4").tobytes(), np.ones(5, "<f4").tobytes()]
    )
    async def test_of_the_embedder(self, mesh, vector):
        mesh.embedder.answer = embedder_pb2.EmbedResponse(embeddings=[embedder_pb2.Embedding(vector=vector)])
        assert "embeddings[0].vector" in (await self.lost(mesh))["embedder"]

    async def test_of_the_embedder_without_vectors(self, mesh):
        mesh.embedder.answer = embedder_pb2.EmbedResponse(model="x")
        assert "0 vectors for 1 pictures" in (await self.lost(mesh))["embedder"]

    async def test_of_the_embedder_without_models(self, mesh):
        mesh.world.embedder.serving = ()
        assert "no model" in (await self.lost(mesh))["embedder"]

    async def test_of_a_shard(self, mesh):
        hit = search_pb2.Hit(image_id="i", product_id="p", category="toys", similarity=float("nan"))
        mesh.search.answer = search_pb2.SearchResponse(shards=[search_pb2.ShardResult(shard="home", hits=[hit])])
        assert "no cosine" in (await self.lost(mesh))["search/home"]

    async def test_of_an_index_with_a_category_that_nobody_knows(self, mesh):
        hit = search_pb2.Hit(image_id="i", product_id="p", category="spaceships", similarity=0.5)
        mesh.search.answer = search_pb2.SearchResponse(shards=[search_pb2.ShardResult(shard="home", hits=[hit])])
        assert "spaceships" in (await self.lost(mesh))["classifier"]


class TestGaps:
    async def test_what_is_not_in_the_catalogue_is_kept(self):
        world = World(STOCK)
        async with Mesh(world).running(keep_crops=True) as mesh:
            answer = await mesh.stub.Scan(pb.ScanRequest(image=UNKNOWN))
            assert answer.outcome == pb.OUTCOME_NOT_IN_CATALOGUE
            assert not answer.articles
            await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
            tried = await mesh.stub.Scan(pb.ScanRequest(image=UNKNOWN, synthetic=True))
            assert tried.outcome == pb.OUTCOME_NOT_IN_CATALOGUE, "and no gap, for nobody looks for it"
        (request,) = world.catalog.gaps
        assert isinstance(request, catalog_pb2.RecordGapRequest)
        assert (request.gap.scan_id, request.gap.category) == (answer.scan_id, answer.categories[0].category)
        assert request.gap.confidence == pytest.approx(answer.confidence)
        assert request.model == GENERAL.id
        assert np.linalg.norm(np.frombuffer(request.vector, "<f4")) == pytest.approx(1.0, abs=1e-3)
        assert abs(request.gap.scan_time.ToSeconds() - time.time()) < 60
        crop = cv2.imdecode(np.frombuffer(request.gap.crop, np.uint8), cv2.IMREAD_COLOR)
        assert max(crop.shape) <= 320

    async def test_of_what_nobody_knows_anything_is_kept_as_other(self):
        world = World()
        async with Mesh(world).running() as mesh:
            answer = await mesh.stub.Scan(pb.ScanRequest(image=jpeg(photo() + np.uint8(9))))
        assert (answer.outcome, list(answer.categories)) == (pb.OUTCOME_NOT_IN_CATALOGUE, [])
        (request,) = world.catalog.gaps
        assert (request.gap.scan_id, request.gap.category) == (answer.scan_id, "other")

    async def test_what_was_found_wrongly_is_kept_when_the_user_says_so(self):
        world = World(STOCK)
        async with Mesh(world).running(keep_crops=True) as mesh:
            ids = {}
            for word, verdict in (("right", VERDICT_RIGHT), ("wrong", VERDICT_WRONG)):
                answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
                assert answer.outcome == pb.OUTCOME_MATCHED
                ids[word] = answer.scan_id
                await mesh.stub.SendFeedback(pb.SendFeedbackRequest(scan_id=answer.scan_id, verdict=verdict))
            tried = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT, synthetic=True))
            await mesh.stub.SendFeedback(pb.SendFeedbackRequest(scan_id=tried.scan_id, verdict=VERDICT_WRONG))
        (request,) = world.catalog.gaps
        assert (request.gap.scan_id, request.gap.refused_product_id) == (ids["wrong"], "robot")
        assert request.gap.crop

    async def test_a_catalogue_that_hangs_does_not_hold_the_answer_up(self):
        world = World(STOCK)
        async with Mesh(world).running() as mesh:
            await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
            record = world.catalog.record_gap
            release = asyncio.Event()

            async def slow(request, *, seconds):
                await release.wait()
                await record(request, seconds=seconds)

            world.catalog.record_gap = slow
            start = time.monotonic()
            await mesh.stub.Scan(pb.ScanRequest(image=UNKNOWN))
            assert time.monotonic() - start < 1.0
            assert world.catalog.gaps == []
            release.set()
        assert len(world.catalog.gaps) == 1, "kept at shutdown"


class TestFeedback:
    async def test_reaches_the_catalogue(self, mesh):
        request = pb.SendFeedbackRequest(scan_id="s1", verdict=VERDICT_WRONG, product_id="chair", comment="no robot")
        await mesh.stub.SendFeedback(request)
        (kept,) = mesh.world.catalog.feedback
        assert (kept.scan_id, kept.verdict, kept.product_id, kept.comment) == ("s1", VERDICT_WRONG, "chair", "no robot")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"scan_id": ""}, "scan_id"),
            ({"scan_id": "two words"}, "scan_id"),
            ({"verdict": 0}, "verdict"),
            ({"verdict": 17}, "verdict"),
            ({"product_id": "x" * 129}, "product_id"),
            ({"comment": "x" * 2001}, "comment"),
        ],
    )
    async def test_bad_input_is_told_by_field(self, mesh, changes, field):
        request = pb.SendFeedbackRequest(**({"scan_id": "s1", "verdict": VERDICT_RIGHT} | changes))
        code, details = await refused(mesh.stub.SendFeedback(request))
        assert (code, details.startswith(field)) == (grpc.StatusCode.INVALID_ARGUMENT, True)
        assert not mesh.world.catalog.feedback

    async def test_unavailable_while_it_cannot_be_kept(self, mesh):
        await mesh.kill("catalog")
        code, details = await refused(
            mesh.stub.SendFeedback(pb.SendFeedbackRequest(scan_id="s", verdict=VERDICT_RIGHT))
        )
        assert (code, details.startswith("catalog")) == (grpc.StatusCode.UNAVAILABLE, True)


def settings(**fields):
    return pb.ScanStreamRequest(settings=pb.ScanStreamSettings(**fields))


def frame(number, image):
    return pb.ScanStreamRequest(frame=pb.Frame(number=number, image=image))


class TestStream:
    async def events(self, mesh, messages):
        async def come():
            for message in messages:
                yield message

        return [event async for event in mesh.stub.ScanStream(come(), timeout=10)]

    async def test_ends_early_when_certain(self, mesh):
        call = mesh.stub.ScanStream(timeout=10)
        await call.write(settings(certain_at=0.9, explain=True, top_k=1))
        await call.write(frame(7, jpeg(shot(3, left=100))))
        first = await call.read()
        assert (first.frame_number, first.WhichOneof("event")) == (7, "update")
        await call.write(frame(9, jpeg(shot(3, left=300))))
        last = await call.read()
        assert (last.frame_number, last.WhichOneof("event")) == (9, "final")
        assert last.final.styles[0].products[0].product.title == "Robot"
        assert last.final.scan_id == first.update.scan_id
        assert last.final.HasField("evidence")
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK

    async def test_half_close_brings_the_last_word_and_the_gap(self):
        world = World(STOCK)
        async with Mesh(world).running() as mesh:
            image = jpeg(shot(99))
            events = await self.events(mesh, [settings(), frame(1, image)])
            assert [event.WhichOneof("event") for event in events] == ["update", "final"]
            assert events[-1].final.outcome == pb.OUTCOME_NOT_IN_CATALOGUE
        assert [gap.gap.scan_id for gap in world.catalog.gaps] == [events[-1].final.scan_id]

    async def test_still_frames_are_skipped(self, mesh):
        call = mesh.stub.ScanStream(timeout=10)
        await call.write(settings(certain_at=1.0))
        await call.write(frame(1, UNKNOWN))
        await call.read()
        await call.write(frame(2, UNKNOWN))
        event = await call.read()
        assert (event.frame_number, event.skipped.reason) == (2, pb.FrameSkipped.REASON_STILL)
        await call.done_writing()
        assert (await call.read()).WhichOneof("event") == "final"

    async def test_frames_that_come_too_fast_are_skipped(self, mesh):
        mesh.world.detector.delay = 0.3
        call = mesh.stub.ScanStream(timeout=10)
        await call.write(settings())
        await call.write(frame(1, jpeg(shot(99, left=10))))
        await mesh.world.detector.begun.wait()
        for number in (2, 3, 4):
            await call.write(frame(number, jpeg(shot(99, left=100 * number))))
        await call.done_writing()
        events = [event async for event in call]
        told = [(event.frame_number, event.skipped.reason or event.WhichOneof("event")) for event in events]
        behind = pb.FrameSkipped.REASON_BEHIND
        assert told[:4] == [(1, "update"), (2, behind), (3, behind), (4, "update")]

    @pytest.mark.parametrize(
        ("messages", "code", "text"),
        [
            ([frame(1, ROBOT)], grpc.StatusCode.FAILED_PRECONDITION, "frame 1 came before the settings"),
            ([], grpc.StatusCode.INVALID_ARGUMENT, "settings"),
            ([pb.ScanStreamRequest()], grpc.StatusCode.INVALID_ARGUMENT, "settings"),
            ([settings()], grpc.StatusCode.INVALID_ARGUMENT, "before the first frame"),
            ([settings(), settings()], grpc.StatusCode.INVALID_ARGUMENT, "message: expected a frame, got settings"),
            ([settings(top_k=0)], grpc.StatusCode.INVALID_ARGUMENT, "settings.top_k"),
            (
                [settings(certain_at=1.5)],
                grpc.StatusCode.INVALID_ARGUMENT,
                "settings.certain_at: expected 0 to 1, got 1.5",
            ),
            ([settings(certain_at=float("nan"))], grpc.StatusCode.INVALID_ARGUMENT, "settings.certain_at"),
            (
                [settings(), frame(17, Image(encoded=b"text"))],
                grpc.StatusCode.INVALID_ARGUMENT,
                "frame.image.encoded: of frame 17:",
            ),
        ],
    )
    async def test_bad_input_is_told(self, mesh, messages, code, text):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.events(mesh, messages)
        assert error.value.code() is code
        assert text in error.value.details()

    async def test_a_client_that_leaves_is_forgotten(self, mesh):
        call = mesh.stub.ScanStream(timeout=10)
        await call.write(settings())
        await call.write(frame(1, UNKNOWN))
        await call.read()
        call.cancel()
        for _ in range(100):
            if not [task for task in asyncio.all_tasks() if task.get_name() == "frames"]:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("the stream's reader is still there")
        assert (await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))).outcome == pb.OUTCOME_MATCHED

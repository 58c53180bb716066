"""Frames of a camera to a real gateway in front of real little servers."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.vision_pb2 import Image
from tests.unit.gateway.photos import ROBOT, UNKNOWN, jpeg, shot
from tests.unit.gateway.servers import Mesh
from tests.unit.gateway.world import STOCK, World


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

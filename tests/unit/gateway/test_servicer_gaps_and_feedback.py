"""What a real gateway has the catalogue keep: gaps, and what users say of their scans."""

from __future__ import annotations

import asyncio
import time

import cv2
import grpc
import numpy as np
import pytest

from shiwu.v1 import catalog_pb2
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.catalog_resources_pb2 import VERDICT_RIGHT, VERDICT_WRONG
from tests.unit.gateway.photos import ROBOT, UNKNOWN, jpeg
from tests.unit.gateway.refusals import refused
from tests.unit.gateway.servers import Mesh
from tests.unit.gateway.world import GENERAL, STOCK, World, photo


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
            await mesh.stub.Scan(pb.ScanRequest(image=UNKNOWN), timeout=10.0)
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

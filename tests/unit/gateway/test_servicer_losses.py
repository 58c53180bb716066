"""A real gateway in front of real little servers that die, hang or answer nonsense."""

from __future__ import annotations

import time

import numpy as np
import pytest

from shiwu.v1 import detector_pb2, embedder_pb2, search_pb2
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.vision_pb2 import Box as BoxMessage
from shiwu.v1.vision_pb2 import CategoryScore, DetectedObject
from tests.unit.gateway.photos import ROBOT, jpeg
from tests.unit.gateway.world import photo, tile


class TestLosses:
    async def test_killed_parts_are_named(self, mesh):
        answer = await mesh.stub.Scan(pb.ScanRequest(image=ROBOT))
        assert answer.outcome == pb.OUTCOME_MATCHED, answer
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
        answer = await mesh.stub.Scan(pb.ScanRequest(image=centre), timeout=3.0)
        assert time.monotonic() - start < 3.0
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

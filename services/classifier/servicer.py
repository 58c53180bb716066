"""The classifier on the wire."""

from __future__ import annotations

from typing import Any

import grpc

from services.classifier.voting import Neighbour, Vote, vote
from shiwu.inference.tuning import VoteRule
from shiwu.v1 import classifier_pb2 as pb
from shiwu.v1.classifier_pb2_grpc import ClassifierServiceServicer
from shiwu.v1.vision_pb2 import CategoryScore


class ClassifierService(ClassifierServiceServicer):
    """Speaks protobuf outside and `vote` inside; raises, never sets status codes."""

    def __init__(self, rule: VoteRule) -> None:
        self._rule = rule

    async def Vote(self, request: pb.VoteRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.VoteResponse:  # noqa: ARG002
        detector = [(entry.category, entry.score) for entry in request.detector]
        neighbours = [Neighbour(each.image_id, each.category, each.similarity) for each in request.neighbors]
        return _response(vote(detector, neighbours, self._rule))


def _response(outcome: Vote) -> pb.VoteResponse:
    return pb.VoteResponse(
        categories=[CategoryScore(category=category, score=score) for category, score in outcome.categories],
        detector_share=outcome.detector_share,
        shares=[pb.NeighborShare(image_id=each[0], category=each[1], share=each[2]) for each in outcome.shares],
    )

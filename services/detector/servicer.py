"""The detector on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np

from services.detector.detection import Detector, Objects
from shiwu.chassis.errors import InvalidInputError
from shiwu.v1 import detector_pb2 as pb
from shiwu.v1.detector_pb2_grpc import DetectorServiceServicer
from shiwu.v1.vision_pb2 import CategoryScore, DetectedObject
from shiwu.vision.decode import Limits
from shiwu.wire.boxes import from_box
from shiwu.wire.images import to_photo

_DEFAULT_OBJECTS = 20
_MOST_OBJECTS = 100


class DetectorService(DetectorServiceServicer):
    """Speaks protobuf outside and `Detector` inside; raises, never sets status codes."""

    def __init__(self, detector: Detector, *, limits: Limits) -> None:
        self._detector = detector
        self._limits = limits

    async def Detect(self, request: pb.DetectRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.DetectResponse:  # noqa: ARG002
        min_score, max_objects = _min_score(request), _max_objects(request)
        manifest = self._detector.manifest
        photo = await asyncio.to_thread(to_photo, request.image, "image", self._limits, manifest.preprocessing.size)
        objects = await self._detector.detect(photo.pixels, min_score=min_score, max_objects=max_objects)
        found = _messages(objects, manifest.labels)
        return pb.DetectResponse(objects=found, model=manifest.id, input_size=manifest.preprocessing.size)


def _min_score(request: pb.DetectRequest) -> float | None:
    if not request.HasField("min_score"):
        return None
    if not 0 <= request.min_score <= 1:  # NaN fails too
        msg = f"is {request.min_score:g}; expected 0 to 1"
        raise InvalidInputError(msg, field="min_score")
    return request.min_score


def _max_objects(request: pb.DetectRequest) -> int:
    if not request.HasField("max_objects"):
        return _DEFAULT_OBJECTS
    if not 1 <= request.max_objects <= _MOST_OBJECTS:
        msg = f"is {request.max_objects}; expected 1 to {_MOST_OBJECTS}"
        raise InvalidInputError(msg, field="max_objects")
    return request.max_objects


def _messages(objects: Objects, labels: tuple[str, ...]) -> list[DetectedObject]:
    return [
        DetectedObject(
            box=from_box(box),
            score=float(scores.max()),
            categories=[
                CategoryScore(category=labels[i], score=float(scores[i])) for i in np.argsort(-scores, kind="stable")
            ],
        )
        for box, scores in zip(objects.boxes, objects.scores, strict=True)
    ]

"""The gateway on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

import grpc

from services.gateway.answer import Answer
from services.gateway.gaps import GapRecorder
from services.gateway.messages import to_response
from services.gateway.metrics import observe_answer, observe_stages
from services.gateway.peers import GrpcCatalog
from services.gateway.pictures import Picture, prepared
from services.gateway.pipeline import Scanner
from services.gateway.ports import Box, Feedback, Gap
from services.gateway.progress import Progress
from services.gateway.scan_id import new_scan_id
from services.gateway.stream import Frame, FrameMemory, Skipped, StreamRules, StreamScan, Told
from shiwu.chassis import deadlines
from shiwu.chassis.admission import Admission
from shiwu.chassis.errors import InvalidInputError, PreconditionError
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1 import vision_pb2
from shiwu.v1.catalog_pb2 import DescribeResponse
from shiwu.v1.catalog_resources_pb2 import VERDICT_RIGHT, VERDICT_WRONG
from shiwu.v1.gateway_pb2_grpc import GatewayServiceServicer
from shiwu.vision.decode import Limits
from shiwu.wire.boxes import to_box
from shiwu.wire.ids import check_id
from shiwu.wire.images import to_photo

_DEFAULT_TOP_K: Final = 10
_MAX_TOP_K: Final = 100
_MAX_COMMENT: Final = 2000
_SKIPPED: Final = {"still": pb.FrameSkipped.REASON_STILL, "behind": pb.FrameSkipped.REASON_BEHIND}
_VERDICTS: Final[dict[int, Literal["right", "wrong"]]] = {VERDICT_RIGHT: "right", VERDICT_WRONG: "wrong"}


@dataclass(frozen=True, slots=True)
class Intake:
    """How requests are taken in."""

    limits: Limits = field(default_factory=Limits)
    decode_side: int = 640
    detector_size: int = 320
    scan_seconds: float = 10.0
    feedback_seconds: float = 2.0


class GatewayService(GatewayServiceServicer):
    """Speaks protobuf outside and `Scanner` inside; raises, never sets status codes."""

    def __init__(
        self,
        scanner: Scanner[DescribeResponse],
        catalog: GrpcCatalog,
        gaps: GapRecorder | None,
        *,
        admission: Admission,
        intake: Intake,
        stream: StreamRules,
    ) -> None:
        """gaps: None: no gaps are kept. admission: lets scans and frames of streams in."""
        self._scanner = scanner
        self._catalog = catalog
        self._gaps = gaps
        self._admission = admission
        self._intake = intake
        self._stream = stream

    async def Scan(self, request: pb.ScanRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.ScanResponse:  # noqa: ARG002
        top_k = _top_k(request, "top_k")
        focus = Box(*to_box(request.focus, "focus").tolist()) if request.HasField("focus") else None
        scan_id, progress = new_scan_id(), self._new_progress()
        try:
            async with self._admission.slot() as slot:
                picture = await self._read(request.image, "image", progress)
                answer = await self._scanner.scan(picture, progress, top_k=top_k, focus=focus)
                slot.typical = not answer.missing
        finally:
            observe_stages(progress)
        observe_answer(answer)
        if not request.synthetic:
            self._keep_gap(scan_id, answer)
        return to_response(answer, scan_id, progress, explain=request.explain)

    async def ScanStream(
        self,
        request_iterator: AsyncIterator[pb.ScanStreamRequest],
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> AsyncIterator[pb.ScanStreamResponse]:
        settings = await _stream_settings(request_iterator)
        top_k = _top_k(settings, "settings.top_k")
        rules = self._stream
        if settings.HasField("certain_at"):
            rules = replace(rules, certain_at=_share(settings.certain_at, "settings.certain_at"))
        scan_id = new_scan_id()
        stream = StreamScan(partial(self._scan_frame, top_k), self._new_progress, rules)
        async with aclosing(stream.events(self._frames(request_iterator))) as events:
            async for event in events:
                if isinstance(event, Told) and event.final:
                    observe_answer(event.answer)
                    self._keep_gap(scan_id, event.answer)
                yield _event(event, scan_id, explain=settings.explain)

    async def SendFeedback(
        self,
        request: pb.SendFeedbackRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> pb.SendFeedbackResponse:
        feedback = _feedback(request)
        await self._catalog.record_feedback(feedback, seconds=deadlines.budget(self._intake.feedback_seconds))
        if self._gaps is not None and feedback.verdict == "wrong":
            self._gaps.refused(feedback.scan_id)
        return pb.SendFeedbackResponse()

    def _new_progress(self) -> Progress:
        return Progress(deadlines.budget(self._intake.scan_seconds))

    async def _read(self, image: vision_pb2.Image, field: str, progress: Progress) -> Picture:
        with progress.stage("decode"):
            return await asyncio.to_thread(self._picture, image, field)

    def _picture(self, image: vision_pb2.Image, field: str) -> Picture:
        intake = self._intake
        photo = to_photo(image, field, intake.limits, intake.decode_side)
        if min(photo.width, photo.height) < intake.limits.min_side:  # of raw pixels; files were checked
            msg = f"has {photo.width} x {photo.height} pixels; each side needs at least {intake.limits.min_side}"
            raise InvalidInputError(msg, field=field)
        return prepared(photo.pixels, intake.detector_size)

    async def _scan_frame(
        self, top_k: int, picture: Picture, progress: Progress, memory: FrameMemory
    ) -> Answer[DescribeResponse]:
        try:
            async with self._admission.slot() as slot:
                answer = await self._scanner.scan(picture, progress, top_k=top_k, memory=memory)
                slot.typical = not answer.missing
                return answer
        finally:
            observe_stages(progress)

    async def _frames(self, requests: AsyncIterator[pb.ScanStreamRequest]) -> AsyncIterator[Frame]:
        async for request in requests:
            if request.WhichOneof("message") != "frame":
                msg = f"expected a frame, got {request.WhichOneof('message') or 'an empty message'}"
                raise InvalidInputError(msg, field="message")
            yield Frame(request.frame.number, partial(self._read_frame, request.frame))

    async def _read_frame(self, frame: pb.Frame, progress: Progress) -> Picture:
        try:
            return await self._read(frame.image, "frame.image", progress)
        except InvalidInputError as error:
            msg = f"of frame {frame.number}: {str(error).removeprefix(f'{error.field}: ')}"
            raise InvalidInputError(msg, field=error.field) from error

    def _keep_gap(self, scan_id: str, answer: Answer[DescribeResponse]) -> None:
        """Keeps a scan that found nothing, and remembers one that found something, in case that is wrong."""
        if self._gaps is None or answer.vector is None or answer.crop is None:
            return
        best = answer.styles[0].products[0] if answer.styles else None
        category = answer.categories[0][0] if answer.categories else best.category if best else "other"
        now = datetime.now(UTC)
        gap = Gap(scan_id, category, answer.confidence, now, b"", answer.vector, answer.embedder_model)
        if answer.outcome == "not_in_catalogue":
            self._gaps.offer(gap, answer.crop)
        else:
            self._gaps.answered(replace(gap, refused_product_id=best.product_id if best else ""), answer.crop)


async def _stream_settings(requests: AsyncIterator[pb.ScanStreamRequest]) -> pb.ScanStreamSettings:
    async for request in requests:
        if request.WhichOneof("message") == "settings":
            return request.settings
        if request.WhichOneof("message") == "frame":
            msg = f"frame {request.frame.number} came before the settings; send settings first, once"
            raise PreconditionError(msg)
        break
    msg = "expected settings in the first message"
    raise InvalidInputError(msg, field="settings")


def _top_k(request: pb.ScanRequest | pb.ScanStreamSettings, field: str) -> int:
    top_k = request.top_k if request.HasField("top_k") else _DEFAULT_TOP_K
    if not 1 <= top_k <= _MAX_TOP_K:
        msg = f"expected 1 to {_MAX_TOP_K}, got {top_k}"
        raise InvalidInputError(msg, field=field)
    return top_k


def _share(value: float, field: str) -> float:
    if not 0.0 <= value <= 1.0:
        msg = f"expected 0 to 1, got {value:g}"
        raise InvalidInputError(msg, field=field)
    return value


def _feedback(request: pb.SendFeedbackRequest) -> Feedback:
    check_id(request.scan_id, "scan_id")
    verdict = _VERDICTS.get(request.verdict)
    if verdict is None:
        msg = "expected VERDICT_RIGHT or VERDICT_WRONG"
        raise InvalidInputError(msg, field="verdict")
    if request.product_id:
        check_id(request.product_id, "product_id")
    if len(request.comment) > _MAX_COMMENT:
        msg = f"expected at most {_MAX_COMMENT:,} characters, got {len(request.comment):,}"
        raise InvalidInputError(msg, field="comment")
    return Feedback(request.scan_id, verdict, request.product_id, request.comment)


def _event(event: Skipped | Told[DescribeResponse], scan_id: str, *, explain: bool) -> pb.ScanStreamResponse:
    if isinstance(event, Skipped):
        return pb.ScanStreamResponse(frame_number=event.number, skipped=pb.FrameSkipped(reason=_SKIPPED[event.reason]))
    response = to_response(event.answer, scan_id, event.progress, explain=explain)
    if event.final:
        return pb.ScanStreamResponse(frame_number=event.number, final=response)
    return pb.ScanStreamResponse(frame_number=event.number, update=response)

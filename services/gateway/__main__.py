"""Runs the gateway: python -m services.gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from services.gateway.access import TABLE
from services.gateway.answer import Limits, Peers, Rules
from services.gateway.gaps import GapRecorder, Recent
from services.gateway.metrics import gap_metrics
from services.gateway.models import ModelList
from services.gateway.peers import GrpcCatalog, GrpcDetector, GrpcEmbedder, GrpcIndex, GrpcVoter
from services.gateway.pipeline import Scanner
from services.gateway.servicer import GatewayService, Intake
from services.gateway.settings import Settings
from services.gateway.stream import StreamRules
from services.gateway.tuning import Tunings, read_tunings
from shiwu.chassis.admission import Admission
from shiwu.chassis.channel import connect, is_serving
from shiwu.chassis.metrics import admission_metrics, exporting
from shiwu.chassis.process import run, until_signalled
from shiwu.chassis.server import running
from shiwu.v1.gateway_pb2_grpc import add_GatewayServiceServicer_to_server
from shiwu.vision import decode
from shiwu.vision.threads import use_one_thread

if TYPE_CHECKING:
    import grpc

NAME = "shiwu.v1.GatewayService"


async def main(settings: Settings) -> None:
    """Serves until the process is told to end."""
    use_one_thread()
    async with AsyncExitStack() as stack:
        channels = {
            part: await stack.enter_async_context(connect(getattr(settings, part)))
            for part in ("detector", "embedder", "classifier", "search", "catalog")
        }
        catalog = GrpcCatalog(channels["catalog"])
        gaps = await stack.enter_async_context(_gap_recorder(catalog, settings)) if settings.keep_gaps else None
        if gaps is not None:
            stack.enter_context(exporting(partial(gap_metrics, gaps)))
        admission = Admission(settings.admission)
        stack.enter_context(exporting(partial(admission_metrics, admission)))
        service = _service(channels, catalog, gaps, admission, settings)
        # Hard dependencies only until they have answered once: from then on the gateway always has an answer, and
        # a lost part is marked in it. Refusing all calls instead would turn every outage behind it into its own.
        checks = {part: _once(partial(is_serving, channels[part])) for part in ("embedder", "search")}
        add = partial(add_GatewayServiceServicer_to_server, service)
        await stack.enter_async_context(running(NAME, add, settings.server, checks, table=TABLE))
        await until_signalled()


def _service(
    channels: dict[str, grpc.aio.Channel],
    catalog: GrpcCatalog,
    gaps: GapRecorder | None,
    admission: Admission,
    settings: Settings,
) -> GatewayService:
    embedder = GrpcEmbedder(channels["embedder"])
    peers = Peers(
        detector=GrpcDetector(channels["detector"]),
        embedder=embedder,
        index=GrpcIndex(channels["search"]),
        voter=GrpcVoter(channels["classifier"]),
        catalog=catalog,
    )
    models = ModelList(embedder, max_age=settings.models_max_age)
    tunings = Tunings(read_tunings(settings.models), settings.rerank)
    return GatewayService(
        Scanner(peers, models, tunings, _rules(settings)),
        catalog,
        gaps,
        admission=admission,
        intake=_intake(settings),
        stream=StreamRules(**settings.stream.model_dump()),
    )


def _gap_recorder(catalog: GrpcCatalog, settings: Settings) -> GapRecorder:
    recent = Recent(settings.recent_scans, settings.recent_seconds)
    return GapRecorder(
        catalog, waiting=settings.gaps_waiting, seconds=5.0, keep_crops=settings.keep_crops, recent=recent
    )


def _rules(settings: Settings) -> Rules:
    return Rules(
        limits=Limits(
            detect=settings.detect_seconds,
            embed=settings.embed_seconds,
            search=settings.search_seconds,
            vote=settings.vote_seconds,
            compare=settings.compare_seconds,
            describe=settings.describe_seconds,
        ),
        centre_share=settings.centre_share,
        look_further=settings.look_further,
        verify=settings.verify,
        focus_iou=settings.focus_iou,
        search_top_k=settings.search_top_k,
        vote_mass=settings.vote_mass,
        candidates=settings.candidates,
        max_articles=settings.max_articles,
    )


def _intake(settings: Settings) -> Intake:
    limits = decode.Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    return Intake(
        limits=limits,
        decode_side=settings.decode_side,
        detector_size=settings.detector_size,
        scan_seconds=settings.scan_seconds,
    )


def _once(check: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    """Answers as `check` until that has said yes, and yes from then on."""
    passed = False

    async def answer() -> bool:
        nonlocal passed
        passed = passed or await check()
        return passed

    return answer


if __name__ == "__main__":
    run(main, Settings, "gateway")

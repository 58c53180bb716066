"""Runs the detector: python -m services.detector."""

from __future__ import annotations

from functools import partial

from services.detector.access import TABLE
from services.detector.detection import Detector
from services.detector.servicer import DetectorService
from services.detector.settings import Settings
from shiwu.chassis.process import run, until_signalled
from shiwu.chassis.server import running
from shiwu.inference.manifest import DetectorManifest, ManifestError, read_manifest
from shiwu.inference.metrics import MeteredRunner
from shiwu.inference.opening import open_model
from shiwu.v1.detector_pb2_grpc import add_DetectorServiceServicer_to_server
from shiwu.vision.decode import Limits

NAME = "shiwu.v1.DetectorService"


async def main(settings: Settings) -> None:
    """Serves until the process is told to end."""
    manifest = read_manifest(settings.model)
    if not isinstance(manifest, DetectorManifest):
        msg = f"{settings.model} is a model for {manifest.task}; DETECTOR_MODEL must name a detector"
        raise ManifestError(msg)
    runner = MeteredRunner(open_model(settings.model, settings.runner), manifest.id)
    limits = Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    detector = Detector(manifest, runner)
    add = partial(add_DetectorServiceServicer_to_server, DetectorService(detector, limits=limits))
    async with running(NAME, add, settings.server, checks={manifest.id: detector.ready}, table=TABLE):
        await until_signalled()
    await runner.close()


if __name__ == "__main__":
    run(main, Settings, "detector")

"""Runs the embedder: python -m services.embedder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from services.embedder.access import TABLE
from services.embedder.embedding import Embedder, by_id
from services.embedder.servicer import EmbedderService
from services.embedder.settings import Settings
from shiwu.chassis.process import run, until_signalled
from shiwu.chassis.server import running
from shiwu.inference.manifest import EmbedderManifest, ManifestError, read_manifest
from shiwu.inference.metrics import MeteredRunner
from shiwu.inference.opening import open_model
from shiwu.v1.embedder_pb2_grpc import add_EmbedderServiceServicer_to_server
from shiwu.vision.decode import Limits

NAME = "shiwu.v1.EmbedderService"


def manifest_of(directory: Path) -> EmbedderManifest:
    """The manifest of a model that EMBEDDER_MODELS names. Raises ManifestError."""
    manifest = read_manifest(directory)
    if not isinstance(manifest, EmbedderManifest):
        msg = f"{directory} is a model for {manifest.task}; EMBEDDER_MODELS must name embedders"
        raise ManifestError(msg)
    return manifest


async def main(settings: Settings) -> None:
    """Serves until the process is told to end."""
    manifests = {path: manifest_of(path) for path in settings.models}
    runners = {
        path: MeteredRunner(open_model(path, settings.runner), manifest.id) for path, manifest in manifests.items()
    }
    embedders = by_id([Embedder(manifest, runners[path], batch=settings.batch) for path, manifest in manifests.items()])
    limits = Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    servicer = EmbedderService(embedders, max_images=settings.max_images, limits=limits)
    checks = {name: embedder.ready for name, embedder in embedders.items()}
    add = partial(add_EmbedderServiceServicer_to_server, servicer)
    async with running(NAME, add, settings.server, checks, table=TABLE):
        await until_signalled()
    for runner in runners.values():
        await runner.close()


if __name__ == "__main__":
    run(main, Settings, "embedder")

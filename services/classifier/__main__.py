"""Runs the classifier: python -m services.classifier."""

from __future__ import annotations

from functools import partial

import structlog

from services.classifier.access import TABLE
from services.classifier.servicer import ClassifierService
from services.classifier.settings import Settings
from services.classifier.voting import DEFAULT_RULE
from shiwu.chassis.process import run, until_signalled
from shiwu.chassis.server import running
from shiwu.inference.manifest import EmbedderManifest, ManifestError, read_manifest
from shiwu.inference.tuning import VoteRule
from shiwu.v1.classifier_pb2_grpc import add_ClassifierServiceServicer_to_server

NAME = "shiwu.v1.ClassifierService"

_log = structlog.get_logger(__name__)


def rule_of(settings: Settings) -> VoteRule:
    """The rule in the embedder's manifest, or the default where nobody has tuned it. Raises ManifestError."""
    directory = settings.models / settings.embedder
    manifest = read_manifest(directory)
    if not isinstance(manifest, EmbedderManifest):
        msg = f"{directory} is a model for {manifest.task}; CLASSIFIER_EMBEDDER must name an embedder"
        raise ManifestError(msg)
    if manifest.tuning is None:
        _log.warning("untuned embedder: voting by the default rule", model=manifest.id)
        return DEFAULT_RULE
    return manifest.tuning.vote


async def main(settings: Settings) -> None:
    """Serves until the process is told to end."""
    servicer = ClassifierService(rule_of(settings))
    add = partial(add_ClassifierServiceServicer_to_server, servicer)
    async with running(NAME, add, settings.server, table=TABLE):
        await until_signalled()


if __name__ == "__main__":
    run(main, Settings, "classifier")

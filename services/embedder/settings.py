"""What can be configured, by environment variables that start with EMBEDDER_."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shiwu.chassis.settings import ServerSettings, ServiceSettings
from shiwu.inference.options import RunnerOptions
from shiwu.inference.released import EMBEDDER


class Settings(ServiceSettings):
    """The embedder's settings."""

    model_config = SettingsConfigDict(env_prefix="EMBEDDER_")

    server: ServerSettings = ServerSettings(port=50052)
    models: tuple[Path, ...] = Field((Path("models", EMBEDDER),), min_length=1)
    """Directories of the released models, as JSON: '["models/embedder-lite0"]'. The first whose manifest names no
    categories is the default."""
    runner: RunnerOptions = RunnerOptions()
    """For each model."""
    batch: int = Field(8, ge=1)
    """Pictures of one run."""
    max_images: int = Field(64, ge=1)
    """Pictures of one request."""
    max_image_bytes: int = Field(20 * 2**20, ge=1)
    """Largest encoded picture, bytes."""
    max_image_pixels: int = Field(40_000_000, ge=1)
    """Largest picture, pixels."""

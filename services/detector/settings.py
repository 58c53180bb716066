"""What can be configured, by environment variables that start with DETECTOR_."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shiwu.chassis.settings import ServerSettings, ServiceSettings
from shiwu.inference.options import RunnerOptions
from shiwu.inference.released import DETECTOR


class Settings(ServiceSettings):
    """The detector's settings."""

    model_config = SettingsConfigDict(env_prefix="DETECTOR_")

    server: ServerSettings = ServerSettings(port=50051)
    model: Path = Path("models", DETECTOR)
    """Directory of the released model."""
    runner: RunnerOptions = RunnerOptions()
    max_image_bytes: int = Field(20 * 2**20, ge=1)
    """Largest encoded picture, bytes."""
    max_image_pixels: int = Field(40_000_000, ge=1)
    """Largest picture, pixels."""

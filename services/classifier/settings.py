"""What can be configured, by environment variables that start with CLASSIFIER_."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from shiwu.chassis.settings import ServerSettings, ServiceSettings
from shiwu.inference.released import EMBEDDER


class Settings(ServiceSettings):
    """The classifier's settings."""

    model_config = SettingsConfigDict(env_prefix="CLASSIFIER_")

    server: ServerSettings = ServerSettings(port=50053)
    models: Path = Path("models")
    """Folder of the released models."""
    embedder: str = EMBEDDER
    """The model in it whose neighbours vote; its manifest holds the rule."""

"""What can be configured, by environment variables that start with SEARCH_."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.search.shards import DEFAULT_MAP
from shiwu.chassis.settings import ServerSettings, ServiceSettings


class Settings(ServiceSettings):
    """The search service's settings."""

    model_config = SettingsConfigDict(env_prefix="SEARCH_")

    server: ServerSettings = ServerSettings(port=50054)
    audit: Path | None = None
    """File that notes who changed which model is served; unset: stderr, among the logs."""
    shards: Path = DEFAULT_MAP
    """The shard map, a YAML file."""
    home: Path = Path(".shiwu")
    """Folder that relative paths of Milvus Lite databases start from."""
    endpoint: str | None = None
    """Where all shards are, in place of what the map says: a Milvus server's address or a path that ends in .db."""
    token: SecretStr = SecretStr("")
    """Milvus' "user:password" or API key."""
    attempt_seconds: float = Field(2.0, gt=0.0)
    """Deadline of one call to Milvus, of two that are tried."""
    search_seconds: float = Field(4.0, gt=0.0)
    """How long a search waits for a shard before it answers without it."""
    hedge_share: float = Field(0.05, ge=0.0, le=1.0)
    """Share of searches that may be asked a second time, elsewhere, when a Milvus server is slower than it mostly is;
    0: none."""
    write_seconds: float = Field(60.0, gt=0.0)
    """How long a write waits for a shard; the first one of a model makes its collections."""
    probe_seconds: float = Field(5.0, gt=0.0)
    """How often each shard is looked at."""
    count_seconds: float = Field(15.0, gt=0.0)
    """How often the pictures in each shard are counted, for the metrics."""

"""Settings of imports."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from shiwu.wire.fetching import FetchSettings


class ImportSettings(BaseModel):
    """How feeds are imported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roots: tuple[Path, ...] = ()
    """Folders that feeds may be imported from."""
    errors: Path = Path(".shiwu/imports")
    """Folder for the files that list the rows which failed."""
    batch_rows: int = Field(32, ge=1, le=1000)
    """Rows committed together; after a crash so many are done again at most."""
    pictures_at_once: int = Field(8, ge=1)
    """Pictures read, decoded and cropped at the same time; each holds some tens of megabytes."""
    feeds_at_once: int = Field(2, ge=1)
    """Imports that one process works on at the same time; more wait."""
    lease_seconds: float = Field(15.0, gt=0)
    """After a process has died, another one takes over its imports so much later."""
    retry_seconds: float = Field(10.0, gt=0)
    """The longest wait before another try while the embedder, say, does not answer."""
    fetch: FetchSettings = FetchSettings()

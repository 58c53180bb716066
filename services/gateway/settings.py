"""What can be configured, by environment variables that start with GATEWAY_."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from services.gateway.ranking import Mode
from shiwu.chassis.admission import AdmissionSettings
from shiwu.chassis.settings import ClientSettings, ServerSettings, ServiceSettings


class StreamSettings(BaseModel):
    """How camera streams are followed; see stream.py."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreeing: int = Field(2, ge=1)
    still_bits: int = Field(5, ge=0, le=64)
    agree_at: float = Field(0.6, ge=-1.0, le=1.0)
    window: int = Field(8, ge=1)
    idle_seconds: float = Field(30.0, gt=0.0)


class Settings(ServiceSettings):
    """The gateway's settings."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    server: ServerSettings = ServerSettings(port=50050)
    detector: ClientSettings = ClientSettings(target="127.0.0.1:50051")
    embedder: ClientSettings = ClientSettings(target="127.0.0.1:50052")
    classifier: ClientSettings = ClientSettings(target="127.0.0.1:50053")
    search: ClientSettings = ClientSettings(target="127.0.0.1:50054")
    catalog: ClientSettings = ClientSettings(target="127.0.0.1:50055")

    models: Path = Path("models")
    """Folder of the released models; the embedders' manifests say how their vectors are ranked and judged."""
    models_max_age: float = Field(60.0, gt=0.0)
    """Seconds after which the embedder is asked again which models it runs."""
    rerank: Mode | None = None
    """How candidates are re-ranked; unset: as the embedder was tuned."""

    admission: AdmissionSettings = AdmissionSettings()
    """How many scans, and frames of streams, are worked on at once; of the others streams skip frames, and calls are
    refused with RESOURCE_EXHAUSTED."""
    scan_seconds: float = Field(10.0, gt=0.0)
    """Longest scan; also the deadline of callers that set none."""
    detect_seconds: float = Field(1.5, gt=0.0)
    embed_seconds: float = Field(1.5, gt=0.0)
    search_seconds: float = Field(2.5, gt=0.0)
    vote_seconds: float = Field(0.5, gt=0.0)
    compare_seconds: float = Field(2.0, gt=0.0)
    describe_seconds: float = Field(1.0, gt=0.0)

    max_image_bytes: int = Field(20 * 2**20, ge=1)
    max_image_pixels: int = Field(40_000_000, ge=1)
    decode_side: int = Field(640, ge=1)
    """Photos are decoded to at least so many pixels on their longer side, so that crops keep enough."""
    detector_size: int = Field(320, ge=1)
    """Longer side of the photo that the detector gets, pixels: the side of its model's input."""
    centre_share: float = Field(0.6, gt=0.0, le=1.0)
    """Part of each side of the photo that is searched when there is no box."""
    look_further: bool = True
    """Search for other parts of the photo where the answer for the first one is unsure, as the embedder was tuned."""
    verify: bool = True
    """Compare the prints of the nearest candidates with the photo's, as the embedder was tuned."""
    focus_iou: float = Field(0.3, gt=0.0, le=1.0)
    """An object fits the caller's focus if their intersection over union is at least this."""
    search_top_k: int = Field(100, ge=1, le=1000)
    """Hits of each shard."""
    candidates: int = Field(100, ge=1, le=1000)
    """Pictures that are re-ranked."""
    vote_mass: float = Field(0.9, gt=0.0, le=1.0)
    """Candidates are of the fewest categories that together have this share of the vote."""
    max_articles: int = Field(5, ge=0, le=100)

    keep_gaps: bool = True
    """Tell the catalogue of scans that found nothing, or the wrong thing."""
    keep_crops: bool = False
    """Send it the crop, too: a picture that a person took."""
    gaps_waiting: int = Field(256, ge=1)
    """Such scans that may wait to be kept; more are dropped."""
    recent_scans: int = Field(256, ge=0)
    """Scans that found something and are remembered here, with the crop if that may be kept: if feedback calls the
    answer wrong, they are kept like those that found nothing."""
    recent_seconds: float = Field(900.0, gt=0.0)
    """How long they are remembered."""

    stream: StreamSettings = StreamSettings()

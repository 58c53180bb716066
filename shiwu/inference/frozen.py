"""What the models of manifests have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Cannot be changed, and knows no other fields than its own: a typing error is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

"""Which scope each method of the embedder needs."""

from __future__ import annotations

from typing import Final

from shiwu.chassis.access import AccessTable

_SERVICE: Final = "/shiwu.v1.EmbedderService/"

TABLE: Final = AccessTable(
    {f"{_SERVICE}{method}": ("scan", "catalog:write") for method in ("Embed", "ListModels")},
    callers={"gateway": ("scan",), "catalog": ("catalog:write",)},
)

"""Which scope each method of the detector needs."""

from __future__ import annotations

from typing import Final

from shiwu.chassis.access import AccessTable

TABLE: Final = AccessTable(
    {"/shiwu.v1.DetectorService/Detect": ("scan", "catalog:write")},
    callers={"gateway": ("scan",), "catalog": ("catalog:write",)},
)

"""Which scope each method of the gateway needs."""

from __future__ import annotations

from typing import Final

from shiwu.chassis.access import AccessTable

_SERVICE: Final = "/shiwu.v1.GatewayService/"

TABLE: Final = AccessTable({f"{_SERVICE}{method}": ("scan",) for method in ("Scan", "ScanStream", "SendFeedback")})

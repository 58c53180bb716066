"""Which scope each method of the classifier needs."""

from __future__ import annotations

from typing import Final

from shiwu.chassis.access import AccessTable

TABLE: Final = AccessTable({"/shiwu.v1.ClassifierService/Vote": ("scan",)}, callers={"gateway": ("scan",)})

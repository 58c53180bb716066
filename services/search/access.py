"""Which scope each method of the search service needs, and what is audited."""

from __future__ import annotations

from typing import Final

from shiwu.chassis.access import AccessTable
from shiwu.chassis.audit import Naming

_SERVICE: Final = "/shiwu.v1.SearchService/"

TABLE: Final = AccessTable(
    {
        f"{_SERVICE}Search": ("scan", "catalog:write"),
        f"{_SERVICE}DescribeShards": ("scan", "catalog:write"),
        f"{_SERVICE}FindMissing": ("catalog:write",),
        f"{_SERVICE}Upsert": ("catalog:write",),
        f"{_SERVICE}Delete": ("catalog:write",),
        f"{_SERVICE}ListRecords": ("catalog:write",),
        f"{_SERVICE}ServeModel": ("admin",),
        f"{_SERVICE}DropModel": ("admin",),
        f"{_SERVICE}PruneShards": ("admin",),
    },
    callers={"gateway": ("scan",), "catalog": ("catalog:write", "admin")},
)

# The catalogue audits what it is told to write; what changes every answer at once is said here alone.
AUDITED: Final[dict[str, Naming]] = {
    f"{_SERVICE}{method}": lambda message: [getattr(message, "model", "")]
    for method in ("ServeModel", "DropModel", "PruneShards")
}

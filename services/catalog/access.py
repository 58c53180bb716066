"""Which scope each method of the catalogue needs, and what is audited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from shiwu.chassis.access import AccessTable

_CATALOG: Final = "/shiwu.v1.CatalogService/"
_OPERATIONS: Final = "/google.longrunning.Operations/"

_READ: Final = ("scan", "catalog:write")
_WRITE: Final = ("catalog:write",)
_ADMIN: Final = ("admin",)

_METHODS: Final = {
    # What a scan tells anybody.
    _READ: (
        "GetProduct ListProducts GetStyle ListStyles GetOffer ListOffers GetArticle ListArticles "
        "GetReferenceImage ListReferenceImages CompareReferenceImages Describe"
    ),
    # What a scan leaves behind.
    ("scan",): "RecordGap RecordFeedback",
    _WRITE: (
        "CreateProduct UpdateProduct CreateStyle UpdateStyle CreateArticle UpdateArticle "
        "CreateOffer UpdateOffer DeleteOffer CreateReferenceImage DeleteReferenceImage "
        "ReindexReferenceImages ImportProducts ClusterGaps RecordReplays ListCoverage"
    ),
    # What takes other things with it and cannot be written again; and what people photographed.
    _ADMIN: "DeleteProduct DeleteStyle DeleteArticle ListGaps",
}

_OPERATION_METHODS: Final = "GetOperation ListOperations WaitOperation CancelOperation DeleteOperation"

TABLE: Final = AccessTable(
    {f"{_CATALOG}{method}": scopes for scopes, methods in _METHODS.items() for method in methods.split()}
    | {f"{_OPERATIONS}{verb}": _WRITE for verb in _OPERATION_METHODS.split()},
    callers={"gateway": ("scan",)},
)


def resources(message: Any) -> Sequence[str]:
    """What a request or answer of an audited method is about: "product_id=p1", "feed_uri=file:///...".

    Names only: what is written into the resource stays out of the log.
    """
    found = []
    for descriptor, value in message.ListFields():
        if descriptor.name.endswith("_id") or descriptor.name in ("feed_uri", "name"):
            found.append(f"{descriptor.name}={value}")
        elif descriptor.name in _RESOURCES:
            found += resources(value)
    return found


_RESOURCES: Final = ("product", "style", "offer", "article", "reference_image")
_AUDITED_VERBS: Final = ("Create", "Update", "Delete", "Import", "Cancel")

AUDITED: Final = {method: resources for method in TABLE.scopes if method.rpartition("/")[2].startswith(_AUDITED_VERBS)}

"""The standard methods for each kind of resource, and an example of each kind."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money

from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources

EXAMPLES = {
    "style": resources.Style(style_id="s", title="Runner", category="shoes"),
    "product": resources.Product(
        product_id="p",
        style_id="s0",
        title="Runner, red",
        brand="Acme",
        category="shoes",
        description="红色 · fast",
        gtin="4006381333931",
    ),
    "offer": resources.Offer(
        offer_id="o",
        product_id="p0",
        merchant="Shop",
        price=Money(currency_code="EUR", units=19, nanos=990_000_000),
        url="https://shop.example/runner?red=1",
        available=True,
    ),
    "article": resources.Article(
        article_id="a",
        title="On running",
        body="Shoes.",
        url="http://news.example/",
        category="shoes",
        product_ids=["p0"],
        product_scores=[0.5],
    ),
}


@dataclass
class Kind:
    """The methods for one kind of resource."""

    name: str
    stub: Any

    @property
    def example(self) -> Any:
        return copy.deepcopy(EXAMPLES[self.name])

    def create(self, resource: Any) -> Any:
        return self._call("Create", **{self.name: resource})

    def get(self, key: str) -> Any:
        return self._call("Get", **{f"{self.name}_id": key})

    def delete(self, key: str) -> Any:
        return self._call("Delete", **{f"{self.name}_id": key})

    def update(self, resource: Any, *paths: str) -> Any:
        mask = FieldMask(paths=paths) if paths else None
        return self._call("Update", **{self.name: resource}, update_mask=mask)

    def list(self, **filters: Any) -> Any:
        return self._call("List", plural="s", **filters)

    def key(self, resource: Any) -> str:
        return getattr(resource, f"{self.name}_id")

    def items(self, response: Any) -> list[Any]:
        return list(getattr(response, f"{self.name}s"))

    def _call(self, verb: str, plural: str = "", **fields: Any) -> Any:
        method = f"{verb}{self.name.capitalize()}{plural}"
        return getattr(self.stub, method)(getattr(pb, f"{method}Request")(**fields))


def without_times(resource):
    resource = copy.deepcopy(resource)
    for name in ("create_time", "update_time"):
        if name in resource.DESCRIPTOR.fields_by_name:
            resource.ClearField(name)
    return resource

"""Every RPC of every service, from the contract itself."""

from __future__ import annotations

from dataclasses import dataclass

from google.longrunning import operations_pb2
from google.protobuf.descriptor import Descriptor, ServiceDescriptor

from shiwu.v1 import catalog_pb2, classifier_pb2, detector_pb2, embedder_pb2, gateway_pb2, search_pb2

# googleapis-common-protos' module has no descriptors of services in this form; these are its methods.
_OPERATIONS = {
    name: operations_pb2.DESCRIPTOR.message_types_by_name[f"{name}Request"]
    for name in ("GetOperation", "ListOperations", "WaitOperation", "CancelOperation", "DeleteOperation")
}


@dataclass(frozen=True)
class Method:
    service: str
    """The process that serves it: "catalog"."""
    path: str
    request: Descriptor
    streams: bool = False

    def __str__(self) -> str:
        return self.path.rpartition(".")[2]


def _of(service: str, descriptor: ServiceDescriptor) -> list[Method]:
    return [
        Method(service, f"/{descriptor.full_name}/{each.name}", each.input_type, each.client_streaming)
        for each in descriptor.methods
    ]


METHODS = [
    *(
        method
        for module in (gateway_pb2, detector_pb2, embedder_pb2, classifier_pb2, search_pb2, catalog_pb2)
        for name, descriptor in module.DESCRIPTOR.services_by_name.items()
        for method in _of(name.removesuffix("Service").lower(), descriptor)
    ),
    *(Method("catalog", f"/google.longrunning.Operations/{name}", each) for name, each in _OPERATIONS.items()),
]

"""Prints docs/api.md from a descriptor set with source info: python docs/make_api.py build/protos.binpb."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

Comments = dict[tuple[int, ...], str]

# Field numbers in descriptor.proto, of which source paths are made.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED_ENUM, _METHOD, _VALUE = 2, 4, 2, 2

_HEAD = """# API

Made from `protos/shiwu/v1` by `make proto`; do not edit. Vectors are little-endian float32, boxes are shares of the
upright picture, and every error carries `google.rpc` details: `BadRequest` names the field.
"""


def main(path: str) -> None:
    files = FileDescriptorSet.FromString(Path(path).read_bytes()).file
    own = [file for file in files if file.package == "shiwu.v1"]
    services = [file for file in own if file.service]
    order = sorted(services, key=lambda file: (file.name != "shiwu/v1/gateway.proto", file.name))
    sys.stdout.write(_HEAD)
    for file in [*order, *(file for file in own if not file.service)]:
        sys.stdout.write("\n".join(_file(file)) + "\n")


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments: Comments = {
        tuple(location.path): location.leading_comments.strip() for location in file.source_code_info.location
    }
    yield f"\n## {file.name}"
    for i, service in enumerate(file.service):
        yield from _service(service, (_SERVICE, i), comments)
    for i, message in enumerate(file.message_type):
        yield from _message(message, (_MESSAGE, i), comments)
    for i, enum in enumerate(file.enum_type):
        yield from _enum(enum, (_ENUM, i), comments)


def _service(service: ServiceDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield f"\n### {service.name}\n\n{comments[path]}\n"
    yield "| method | request | response | |\n|---|---|---|---|"
    for i, method in enumerate(service.method):
        yield _method(method, comments[(*path, _METHOD, i)])


def _method(method: MethodDescriptorProto, comment: str) -> str:
    request = _link(method.input_type, stream=method.client_streaming)
    response = _link(method.output_type, stream=method.server_streaming)
    return f"| `{method.name}` | {request} | {response} | {_flat(comment)} |"


def _message(message: DescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield f"\n### {message.name}\n"
    if comments.get(path):
        yield comments[path] + "\n"
    if message.field:
        yield "| field | type | |\n|---|---|---|"
    for i, field in enumerate(message.field):
        yield f"| `{field.name}` | {_type(field, message)} | {_flat(comments[(*path, _FIELD, i)])} |"
    for i, enum in enumerate(message.enum_type):
        yield from _enum(enum, (*path, _NESTED_ENUM, i), comments)


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    yield f"\n### {enum.name}\n\n{comments[path]}\n"
    yield "| value | number | |\n|---|---|---|"
    for i, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {_flat(comments[(*path, _VALUE, i)])} |"


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    if field.type_name:
        name = _link(field.type_name)
    else:
        name = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    if field.proto3_optional:
        return f"optional {name}"
    if field.HasField("oneof_index"):
        return f"{name}, one of `{message.oneof_decl[field.oneof_index].name}`"
    return name


def _link(type_name: str, *, stream: bool = False) -> str:
    name = type_name.removeprefix(".")
    short = name.rsplit(".", 1)[-1]
    text = f"[{short}](#{short.lower()})" if name.startswith("shiwu.") else f"`{name}`"
    return f"stream {text}" if stream else text


def _flat(comment: str) -> str:
    return " ".join(comment.split()).replace("|", "\\|")


if __name__ == "__main__":
    main(sys.argv[1])

"""Messages of any type: what no client would send, mixed with what gets deep into the services."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from shiwu.categories import CATEGORIES
from shiwu.inference.manifest import read_manifest
from tests.demo_mesh import ROOT

_DEPTH = 4
_MODEL = read_manifest(ROOT / "models" / "embedder-lite0").id
_PICTURE = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))[1].tobytes()
_VECTOR = np.eye(1, 256, dtype="<f4").tobytes()

_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
_PLAUSIBLE_TEXT = st.sampled_from(
    [
        *("", "fuzz-1", "fuzz-2", "x" * 5000, "../../etc/passwd", "file:///etc/passwd", "'; DROP TABLE products; --"),
        *("%", "\0", "USD", "12.5", "operations/import-1", "done=true", _MODEL, "no-such@1", "*", "\u202e"),
        *CATEGORIES[:2],
    ]
)
_BYTES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"", _PICTURE, _PICTURE[:-20], _PICTURE[:30], _VECTOR, _VECTOR[:-1], b"\0" * 1024]),
    st.sampled_from([struct.pack("<4f", *[float("nan")] * 4), struct.pack("<256f", *[float("inf")] * 256)]),
)
_BITS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


def messages(descriptor: Descriptor, depth: int = _DEPTH) -> st.SearchStrategy[Message]:
    """Each field set or not, oneofs too, the last one that is set winning."""
    fields = [each for each in descriptor.fields if depth or each.type != FieldDescriptor.TYPE_MESSAGE]
    values = {each.name: st.none() | _values(each, depth) for each in fields}
    return st.fixed_dictionaries(values).map(lambda drawn: _made(descriptor, drawn))


def _made(descriptor: Descriptor, drawn: dict[str, Any]) -> Message:
    kind = GetMessageClass(descriptor)
    return kind(**{name: value for name, value in drawn.items() if value is not None})


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    one = _one_value(field, depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one_value(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return messages(field.message_type, depth - 1)
    if field.type == FieldDescriptor.TYPE_STRING:
        return st.one_of(_PLAUSIBLE_TEXT, _TEXT)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _BYTES
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_ENUM:
        return st.sampled_from([*field.enum_type.values_by_number, 99, -1])
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return st.floats(width=32)
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return st.floats()
    least, most = _BITS[field.type]
    return st.one_of(st.integers(max(least, 0), 100), st.integers(least, most))

from shiwu.v1 import vision_pb2 as _vision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DetectRequest(_message.Message):
    __slots__ = ("image", "min_score", "max_objects")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    MAX_OBJECTS_FIELD_NUMBER: _ClassVar[int]
    image: _vision_pb2.Image
    min_score: float
    max_objects: int
    def __init__(self, image: _Optional[_Union[_vision_pb2.Image, _Mapping]] = ..., min_score: _Optional[float] = ..., max_objects: _Optional[int] = ...) -> None: ...

class DetectResponse(_message.Message):
    __slots__ = ("objects", "model", "input_size")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_SIZE_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[_vision_pb2.DetectedObject]
    model: str
    input_size: int
    def __init__(self, objects: _Optional[_Iterable[_Union[_vision_pb2.DetectedObject, _Mapping]]] = ..., model: _Optional[str] = ..., input_size: _Optional[int] = ...) -> None: ...

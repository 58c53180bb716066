from shiwu.v1 import vision_pb2 as _vision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VoteRequest(_message.Message):
    __slots__ = ("detector", "neighbors")
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    detector: _containers.RepeatedCompositeFieldContainer[_vision_pb2.CategoryScore]
    neighbors: _containers.RepeatedCompositeFieldContainer[Neighbor]
    def __init__(self, detector: _Optional[_Iterable[_Union[_vision_pb2.CategoryScore, _Mapping]]] = ..., neighbors: _Optional[_Iterable[_Union[Neighbor, _Mapping]]] = ...) -> None: ...

class Neighbor(_message.Message):
    __slots__ = ("image_id", "category", "similarity")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    category: str
    similarity: float
    def __init__(self, image_id: _Optional[str] = ..., category: _Optional[str] = ..., similarity: _Optional[float] = ...) -> None: ...

class VoteResponse(_message.Message):
    __slots__ = ("categories", "detector_share", "shares")
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_SHARE_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    categories: _containers.RepeatedCompositeFieldContainer[_vision_pb2.CategoryScore]
    detector_share: float
    shares: _containers.RepeatedCompositeFieldContainer[NeighborShare]
    def __init__(self, categories: _Optional[_Iterable[_Union[_vision_pb2.CategoryScore, _Mapping]]] = ..., detector_share: _Optional[float] = ..., shares: _Optional[_Iterable[_Union[NeighborShare, _Mapping]]] = ...) -> None: ...

class NeighborShare(_message.Message):
    __slots__ = ("image_id", "category", "share")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    category: str
    share: float
    def __init__(self, image_id: _Optional[str] = ..., category: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

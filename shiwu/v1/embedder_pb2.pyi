from shiwu.v1 import vision_pb2 as _vision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EmbedRequest(_message.Message):
    __slots__ = ("images", "model", "gallery")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    GALLERY_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[_vision_pb2.Image]
    model: str
    gallery: bool
    def __init__(self, images: _Optional[_Iterable[_Union[_vision_pb2.Image, _Mapping]]] = ..., model: _Optional[str] = ..., gallery: _Optional[bool] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("embeddings", "model")
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    model: str
    def __init__(self, embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., model: _Optional[str] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("vector",)
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    vector: bytes
    def __init__(self, vector: _Optional[bytes] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[EmbedderModel]
    def __init__(self, models: _Optional[_Iterable[_Union[EmbedderModel, _Mapping]]] = ...) -> None: ...

class EmbedderModel(_message.Message):
    __slots__ = ("model", "dimension", "categories", "crop_margin", "input_size", "gallery_input_size")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    CROP_MARGIN_FIELD_NUMBER: _ClassVar[int]
    INPUT_SIZE_FIELD_NUMBER: _ClassVar[int]
    GALLERY_INPUT_SIZE_FIELD_NUMBER: _ClassVar[int]
    model: str
    dimension: int
    categories: _containers.RepeatedScalarFieldContainer[str]
    crop_margin: float
    input_size: int
    gallery_input_size: int
    def __init__(self, model: _Optional[str] = ..., dimension: _Optional[int] = ..., categories: _Optional[_Iterable[str]] = ..., crop_margin: _Optional[float] = ..., input_size: _Optional[int] = ..., gallery_input_size: _Optional[int] = ...) -> None: ...

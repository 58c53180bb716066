import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SearchRequest(_message.Message):
    __slots__ = ("vector", "model", "top_k", "categories", "include_vectors", "group_by_product")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_PRODUCT_FIELD_NUMBER: _ClassVar[int]
    vector: bytes
    model: str
    top_k: int
    categories: _containers.RepeatedScalarFieldContainer[str]
    include_vectors: bool
    group_by_product: bool
    def __init__(self, vector: _Optional[bytes] = ..., model: _Optional[str] = ..., top_k: _Optional[int] = ..., categories: _Optional[_Iterable[str]] = ..., include_vectors: _Optional[bool] = ..., group_by_product: _Optional[bool] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("shards", "partial")
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    shards: _containers.RepeatedCompositeFieldContainer[ShardResult]
    partial: bool
    def __init__(self, shards: _Optional[_Iterable[_Union[ShardResult, _Mapping]]] = ..., partial: _Optional[bool] = ...) -> None: ...

class ShardResult(_message.Message):
    __slots__ = ("shard", "hits", "error", "elapsed_ms")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    shard: str
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    error: _status_pb2.Status
    elapsed_ms: float
    def __init__(self, shard: _Optional[str] = ..., hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., elapsed_ms: _Optional[float] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("image_id", "product_id", "style_id", "category", "similarity", "vector")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    STYLE_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    product_id: str
    style_id: str
    category: str
    similarity: float
    vector: bytes
    def __init__(self, image_id: _Optional[str] = ..., product_id: _Optional[str] = ..., style_id: _Optional[str] = ..., category: _Optional[str] = ..., similarity: _Optional[float] = ..., vector: _Optional[bytes] = ...) -> None: ...

class VectorRecord(_message.Message):
    __slots__ = ("image_id", "product_id", "style_id", "category", "vector")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    STYLE_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    product_id: str
    style_id: str
    category: str
    vector: bytes
    def __init__(self, image_id: _Optional[str] = ..., product_id: _Optional[str] = ..., style_id: _Optional[str] = ..., category: _Optional[str] = ..., vector: _Optional[bytes] = ...) -> None: ...

class UpsertRequest(_message.Message):
    __slots__ = ("records", "model")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[VectorRecord]
    model: str
    def __init__(self, records: _Optional[_Iterable[_Union[VectorRecord, _Mapping]]] = ..., model: _Optional[str] = ...) -> None: ...

class UpsertResponse(_message.Message):
    __slots__ = ("index_time", "serving")
    INDEX_TIME_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    index_time: _timestamp_pb2.Timestamp
    serving: bool
    def __init__(self, index_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., serving: _Optional[bool] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("image_ids",)
    IMAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    image_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, image_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("index_time",)
    INDEX_TIME_FIELD_NUMBER: _ClassVar[int]
    index_time: _timestamp_pb2.Timestamp
    def __init__(self, index_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class FindMissingRequest(_message.Message):
    __slots__ = ("image_ids", "model")
    IMAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    image_ids: _containers.RepeatedScalarFieldContainer[str]
    model: str
    def __init__(self, image_ids: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ...) -> None: ...

class FindMissingResponse(_message.Message):
    __slots__ = ("image_ids",)
    IMAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    image_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, image_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ServeModelRequest(_message.Message):
    __slots__ = ("model", "max_missing")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MAX_MISSING_FIELD_NUMBER: _ClassVar[int]
    model: str
    max_missing: int
    def __init__(self, model: _Optional[str] = ..., max_missing: _Optional[int] = ...) -> None: ...

class ServeModelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DropModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class DropModelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRecordsRequest(_message.Message):
    __slots__ = ("shard", "model", "page_size", "page_token", "include_vectors")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    shard: str
    model: str
    page_size: int
    page_token: str
    include_vectors: bool
    def __init__(self, shard: _Optional[str] = ..., model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., include_vectors: _Optional[bool] = ...) -> None: ...

class ListRecordsResponse(_message.Message):
    __slots__ = ("records", "next_page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[VectorRecord]
    next_page_token: str
    def __init__(self, records: _Optional[_Iterable[_Union[VectorRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PruneShardsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PruneShardsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeShardsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeShardsResponse(_message.Message):
    __slots__ = ("shards", "moves")
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    shards: _containers.RepeatedCompositeFieldContainer[Shard]
    moves: _containers.RepeatedCompositeFieldContainer[CategoryMove]
    def __init__(self, shards: _Optional[_Iterable[_Union[Shard, _Mapping]]] = ..., moves: _Optional[_Iterable[_Union[CategoryMove, _Mapping]]] = ...) -> None: ...

class CategoryMove(_message.Message):
    __slots__ = ("category", "source", "target", "phase")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    category: str
    source: str
    target: str
    phase: str
    def __init__(self, category: _Optional[str] = ..., source: _Optional[str] = ..., target: _Optional[str] = ..., phase: _Optional[str] = ...) -> None: ...

class Shard(_message.Message):
    __slots__ = ("name", "categories", "endpoint", "indexes", "error", "p50_ms", "p95_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P95_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    categories: _containers.RepeatedScalarFieldContainer[str]
    endpoint: str
    indexes: _containers.RepeatedCompositeFieldContainer[ShardIndex]
    error: _status_pb2.Status
    p50_ms: float
    p95_ms: float
    def __init__(self, name: _Optional[str] = ..., categories: _Optional[_Iterable[str]] = ..., endpoint: _Optional[str] = ..., indexes: _Optional[_Iterable[_Union[ShardIndex, _Mapping]]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., p50_ms: _Optional[float] = ..., p95_ms: _Optional[float] = ...) -> None: ...

class ShardIndex(_message.Message):
    __slots__ = ("model", "collection", "dimension", "images", "serving", "retiring")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    RETIRING_FIELD_NUMBER: _ClassVar[int]
    model: str
    collection: str
    dimension: int
    images: int
    serving: bool
    retiring: bool
    def __init__(self, model: _Optional[str] = ..., collection: _Optional[str] = ..., dimension: _Optional[int] = ..., images: _Optional[int] = ..., serving: _Optional[bool] = ..., retiring: _Optional[bool] = ...) -> None: ...

import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from shiwu.v1 import catalog_resources_pb2 as _catalog_resources_pb2
from shiwu.v1 import classifier_pb2 as _classifier_pb2
from shiwu.v1 import vision_pb2 as _vision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_MATCHED: _ClassVar[Outcome]
    OUTCOME_NOT_IN_CATALOGUE: _ClassVar[Outcome]
    OUTCOME_UNDECIDED: _ClassVar[Outcome]

class CropSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CROP_SOURCE_UNSPECIFIED: _ClassVar[CropSource]
    CROP_SOURCE_DETECTED: _ClassVar[CropSource]
    CROP_SOURCE_CENTRE: _ClassVar[CropSource]
    CROP_SOURCE_FOCUS: _ClassVar[CropSource]
    CROP_SOURCE_WHOLE: _ClassVar[CropSource]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_MATCHED: Outcome
OUTCOME_NOT_IN_CATALOGUE: Outcome
OUTCOME_UNDECIDED: Outcome
CROP_SOURCE_UNSPECIFIED: CropSource
CROP_SOURCE_DETECTED: CropSource
CROP_SOURCE_CENTRE: CropSource
CROP_SOURCE_FOCUS: CropSource
CROP_SOURCE_WHOLE: CropSource

class ScanRequest(_message.Message):
    __slots__ = ("image", "top_k", "explain", "focus", "synthetic")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    FOCUS_FIELD_NUMBER: _ClassVar[int]
    SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    image: _vision_pb2.Image
    top_k: int
    explain: bool
    focus: _vision_pb2.Box
    synthetic: bool
    def __init__(self, image: _Optional[_Union[_vision_pb2.Image, _Mapping]] = ..., top_k: _Optional[int] = ..., explain: _Optional[bool] = ..., focus: _Optional[_Union[_vision_pb2.Box, _Mapping]] = ..., synthetic: _Optional[bool] = ...) -> None: ...

class ScanResponse(_message.Message):
    __slots__ = ("scan_id", "outcome", "confidence", "objects", "crop", "crop_source", "categories", "styles", "articles", "missing", "evidence", "versions")
    SCAN_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    CROP_SOURCE_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    STYLES_FIELD_NUMBER: _ClassVar[int]
    ARTICLES_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    scan_id: str
    outcome: Outcome
    confidence: float
    objects: _containers.RepeatedCompositeFieldContainer[_vision_pb2.DetectedObject]
    crop: _vision_pb2.Box
    crop_source: CropSource
    categories: _containers.RepeatedCompositeFieldContainer[_vision_pb2.CategoryScore]
    styles: _containers.RepeatedCompositeFieldContainer[StyleMatch]
    articles: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Article]
    missing: _containers.RepeatedCompositeFieldContainer[MissingPart]
    evidence: Evidence
    versions: Versions
    def __init__(self, scan_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., confidence: _Optional[float] = ..., objects: _Optional[_Iterable[_Union[_vision_pb2.DetectedObject, _Mapping]]] = ..., crop: _Optional[_Union[_vision_pb2.Box, _Mapping]] = ..., crop_source: _Optional[_Union[CropSource, str]] = ..., categories: _Optional[_Iterable[_Union[_vision_pb2.CategoryScore, _Mapping]]] = ..., styles: _Optional[_Iterable[_Union[StyleMatch, _Mapping]]] = ..., articles: _Optional[_Iterable[_Union[_catalog_resources_pb2.Article, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[MissingPart, _Mapping]]] = ..., evidence: _Optional[_Union[Evidence, _Mapping]] = ..., versions: _Optional[_Union[Versions, _Mapping]] = ...) -> None: ...

class StyleMatch(_message.Message):
    __slots__ = ("style", "products")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    style: _catalog_resources_pb2.Style
    products: _containers.RepeatedCompositeFieldContainer[ProductMatch]
    def __init__(self, style: _Optional[_Union[_catalog_resources_pb2.Style, _Mapping]] = ..., products: _Optional[_Iterable[_Union[ProductMatch, _Mapping]]] = ...) -> None: ...

class ProductMatch(_message.Message):
    __slots__ = ("product", "similarity", "image_id", "offers")
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    product: _catalog_resources_pb2.Product
    similarity: float
    image_id: str
    offers: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Offer]
    def __init__(self, product: _Optional[_Union[_catalog_resources_pb2.Product, _Mapping]] = ..., similarity: _Optional[float] = ..., image_id: _Optional[str] = ..., offers: _Optional[_Iterable[_Union[_catalog_resources_pb2.Offer, _Mapping]]] = ...) -> None: ...

class MissingPart(_message.Message):
    __slots__ = ("part", "reason", "fallback")
    PART_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    part: str
    reason: str
    fallback: str
    def __init__(self, part: _Optional[str] = ..., reason: _Optional[str] = ..., fallback: _Optional[str] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("vote", "candidates", "stages", "rerank")
    VOTE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    vote: _classifier_pb2.VoteResponse
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    stages: _containers.RepeatedCompositeFieldContainer[StageTime]
    rerank: str
    def __init__(self, vote: _Optional[_Union[_classifier_pb2.VoteResponse, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., stages: _Optional[_Iterable[_Union[StageTime, _Mapping]]] = ..., rerank: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("image_id", "product_id", "style_id", "category", "similarity", "rank_before", "rank_after", "distance", "proof")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    STYLE_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    RANK_BEFORE_FIELD_NUMBER: _ClassVar[int]
    RANK_AFTER_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    product_id: str
    style_id: str
    category: str
    similarity: float
    rank_before: int
    rank_after: int
    distance: float
    proof: float
    def __init__(self, image_id: _Optional[str] = ..., product_id: _Optional[str] = ..., style_id: _Optional[str] = ..., category: _Optional[str] = ..., similarity: _Optional[float] = ..., rank_before: _Optional[int] = ..., rank_after: _Optional[int] = ..., distance: _Optional[float] = ..., proof: _Optional[float] = ...) -> None: ...

class StageTime(_message.Message):
    __slots__ = ("stage", "start", "elapsed")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    stage: str
    start: _duration_pb2.Duration
    elapsed: _duration_pb2.Duration
    def __init__(self, stage: _Optional[str] = ..., start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Versions(_message.Message):
    __slots__ = ("detector", "embedder", "index_time")
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    EMBEDDER_FIELD_NUMBER: _ClassVar[int]
    INDEX_TIME_FIELD_NUMBER: _ClassVar[int]
    detector: str
    embedder: str
    index_time: _timestamp_pb2.Timestamp
    def __init__(self, detector: _Optional[str] = ..., embedder: _Optional[str] = ..., index_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ScanStreamRequest(_message.Message):
    __slots__ = ("settings", "frame")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    settings: ScanStreamSettings
    frame: Frame
    def __init__(self, settings: _Optional[_Union[ScanStreamSettings, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ...) -> None: ...

class ScanStreamSettings(_message.Message):
    __slots__ = ("top_k", "explain", "certain_at")
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    CERTAIN_AT_FIELD_NUMBER: _ClassVar[int]
    top_k: int
    explain: bool
    certain_at: float
    def __init__(self, top_k: _Optional[int] = ..., explain: _Optional[bool] = ..., certain_at: _Optional[float] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("image", "number")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    image: _vision_pb2.Image
    number: int
    def __init__(self, image: _Optional[_Union[_vision_pb2.Image, _Mapping]] = ..., number: _Optional[int] = ...) -> None: ...

class ScanStreamResponse(_message.Message):
    __slots__ = ("frame_number", "skipped", "update", "final")
    FRAME_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    frame_number: int
    skipped: FrameSkipped
    update: ScanResponse
    final: ScanResponse
    def __init__(self, frame_number: _Optional[int] = ..., skipped: _Optional[_Union[FrameSkipped, _Mapping]] = ..., update: _Optional[_Union[ScanResponse, _Mapping]] = ..., final: _Optional[_Union[ScanResponse, _Mapping]] = ...) -> None: ...

class FrameSkipped(_message.Message):
    __slots__ = ("reason",)
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[FrameSkipped.Reason]
        REASON_STILL: _ClassVar[FrameSkipped.Reason]
        REASON_BEHIND: _ClassVar[FrameSkipped.Reason]
    REASON_UNSPECIFIED: FrameSkipped.Reason
    REASON_STILL: FrameSkipped.Reason
    REASON_BEHIND: FrameSkipped.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: FrameSkipped.Reason
    def __init__(self, reason: _Optional[_Union[FrameSkipped.Reason, str]] = ...) -> None: ...

class SendFeedbackRequest(_message.Message):
    __slots__ = ("scan_id", "verdict", "product_id", "comment")
    SCAN_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    scan_id: str
    verdict: _catalog_resources_pb2.Verdict
    product_id: str
    comment: str
    def __init__(self, scan_id: _Optional[str] = ..., verdict: _Optional[_Union[_catalog_resources_pb2.Verdict, str]] = ..., product_id: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class SendFeedbackResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from shiwu.v1 import catalog_resources_pb2 as _catalog_resources_pb2
from shiwu.v1 import vision_pb2 as _vision_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeedFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEED_FORMAT_UNSPECIFIED: _ClassVar[FeedFormat]
    FEED_FORMAT_CSV: _ClassVar[FeedFormat]
    FEED_FORMAT_TSV: _ClassVar[FeedFormat]
    FEED_FORMAT_JSONL: _ClassVar[FeedFormat]
    FEED_FORMAT_XML: _ClassVar[FeedFormat]
FEED_FORMAT_UNSPECIFIED: FeedFormat
FEED_FORMAT_CSV: FeedFormat
FEED_FORMAT_TSV: FeedFormat
FEED_FORMAT_JSONL: FeedFormat
FEED_FORMAT_XML: FeedFormat

class CreateProductRequest(_message.Message):
    __slots__ = ("product",)
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    product: _catalog_resources_pb2.Product
    def __init__(self, product: _Optional[_Union[_catalog_resources_pb2.Product, _Mapping]] = ...) -> None: ...

class GetProductRequest(_message.Message):
    __slots__ = ("product_id",)
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    def __init__(self, product_id: _Optional[str] = ...) -> None: ...

class ListProductsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "style_id", "category")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STYLE_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    style_id: str
    category: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., style_id: _Optional[str] = ..., category: _Optional[str] = ...) -> None: ...

class ListProductsResponse(_message.Message):
    __slots__ = ("products", "next_page_token")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Product]
    next_page_token: str
    def __init__(self, products: _Optional[_Iterable[_Union[_catalog_resources_pb2.Product, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateProductRequest(_message.Message):
    __slots__ = ("product", "update_mask")
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    product: _catalog_resources_pb2.Product
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, product: _Optional[_Union[_catalog_resources_pb2.Product, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteProductRequest(_message.Message):
    __slots__ = ("product_id",)
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    def __init__(self, product_id: _Optional[str] = ...) -> None: ...

class CreateStyleRequest(_message.Message):
    __slots__ = ("style",)
    STYLE_FIELD_NUMBER: _ClassVar[int]
    style: _catalog_resources_pb2.Style
    def __init__(self, style: _Optional[_Union[_catalog_resources_pb2.Style, _Mapping]] = ...) -> None: ...

class GetStyleRequest(_message.Message):
    __slots__ = ("style_id",)
    STYLE_ID_FIELD_NUMBER: _ClassVar[int]
    style_id: str
    def __init__(self, style_id: _Optional[str] = ...) -> None: ...

class ListStylesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "category")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    category: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., category: _Optional[str] = ...) -> None: ...

class ListStylesResponse(_message.Message):
    __slots__ = ("styles", "next_page_token")
    STYLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    styles: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Style]
    next_page_token: str
    def __init__(self, styles: _Optional[_Iterable[_Union[_catalog_resources_pb2.Style, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateStyleRequest(_message.Message):
    __slots__ = ("style", "update_mask")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    style: _catalog_resources_pb2.Style
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, style: _Optional[_Union[_catalog_resources_pb2.Style, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteStyleRequest(_message.Message):
    __slots__ = ("style_id",)
    STYLE_ID_FIELD_NUMBER: _ClassVar[int]
    style_id: str
    def __init__(self, style_id: _Optional[str] = ...) -> None: ...

class CreateOfferRequest(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: _catalog_resources_pb2.Offer
    def __init__(self, offer: _Optional[_Union[_catalog_resources_pb2.Offer, _Mapping]] = ...) -> None: ...

class GetOfferRequest(_message.Message):
    __slots__ = ("offer_id",)
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    def __init__(self, offer_id: _Optional[str] = ...) -> None: ...

class ListOffersRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "product_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    product_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., product_id: _Optional[str] = ...) -> None: ...

class ListOffersResponse(_message.Message):
    __slots__ = ("offers", "next_page_token")
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    offers: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Offer]
    next_page_token: str
    def __init__(self, offers: _Optional[_Iterable[_Union[_catalog_resources_pb2.Offer, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateOfferRequest(_message.Message):
    __slots__ = ("offer", "update_mask")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    offer: _catalog_resources_pb2.Offer
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, offer: _Optional[_Union[_catalog_resources_pb2.Offer, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteOfferRequest(_message.Message):
    __slots__ = ("offer_id",)
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    def __init__(self, offer_id: _Optional[str] = ...) -> None: ...

class CreateArticleRequest(_message.Message):
    __slots__ = ("article",)
    ARTICLE_FIELD_NUMBER: _ClassVar[int]
    article: _catalog_resources_pb2.Article
    def __init__(self, article: _Optional[_Union[_catalog_resources_pb2.Article, _Mapping]] = ...) -> None: ...

class GetArticleRequest(_message.Message):
    __slots__ = ("article_id",)
    ARTICLE_ID_FIELD_NUMBER: _ClassVar[int]
    article_id: str
    def __init__(self, article_id: _Optional[str] = ...) -> None: ...

class ListArticlesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "query")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    query: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., query: _Optional[str] = ...) -> None: ...

class ListArticlesResponse(_message.Message):
    __slots__ = ("articles", "next_page_token")
    ARTICLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    articles: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Article]
    next_page_token: str
    def __init__(self, articles: _Optional[_Iterable[_Union[_catalog_resources_pb2.Article, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateArticleRequest(_message.Message):
    __slots__ = ("article", "update_mask")
    ARTICLE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    article: _catalog_resources_pb2.Article
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, article: _Optional[_Union[_catalog_resources_pb2.Article, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteArticleRequest(_message.Message):
    __slots__ = ("article_id",)
    ARTICLE_ID_FIELD_NUMBER: _ClassVar[int]
    article_id: str
    def __init__(self, article_id: _Optional[str] = ...) -> None: ...

class CreateReferenceImageRequest(_message.Message):
    __slots__ = ("reference_image", "image")
    REFERENCE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    reference_image: _catalog_resources_pb2.ReferenceImage
    image: _vision_pb2.Image
    def __init__(self, reference_image: _Optional[_Union[_catalog_resources_pb2.ReferenceImage, _Mapping]] = ..., image: _Optional[_Union[_vision_pb2.Image, _Mapping]] = ...) -> None: ...

class GetReferenceImageRequest(_message.Message):
    __slots__ = ("image_id",)
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    def __init__(self, image_id: _Optional[str] = ...) -> None: ...

class ListReferenceImagesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "product_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    product_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., product_id: _Optional[str] = ...) -> None: ...

class ListReferenceImagesResponse(_message.Message):
    __slots__ = ("reference_images", "next_page_token")
    REFERENCE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reference_images: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.ReferenceImage]
    next_page_token: str
    def __init__(self, reference_images: _Optional[_Iterable[_Union[_catalog_resources_pb2.ReferenceImage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteReferenceImageRequest(_message.Message):
    __slots__ = ("image_id",)
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    def __init__(self, image_id: _Optional[str] = ...) -> None: ...

class ReindexReferenceImagesRequest(_message.Message):
    __slots__ = ("image_ids",)
    IMAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    image_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, image_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ReindexReferenceImagesResponse(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: int
    def __init__(self, images: _Optional[int] = ...) -> None: ...

class ImportProductsRequest(_message.Message):
    __slots__ = ("feed_uri", "format", "default_merchant", "complete", "force", "pictures_uri")
    FEED_URI_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MERCHANT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    PICTURES_URI_FIELD_NUMBER: _ClassVar[int]
    feed_uri: str
    format: FeedFormat
    default_merchant: str
    complete: bool
    force: bool
    pictures_uri: str
    def __init__(self, feed_uri: _Optional[str] = ..., format: _Optional[_Union[FeedFormat, str]] = ..., default_merchant: _Optional[str] = ..., complete: _Optional[bool] = ..., force: _Optional[bool] = ..., pictures_uri: _Optional[str] = ...) -> None: ...

class ImportProductsMetadata(_message.Message):
    __slots__ = ("request", "rows_total", "rows_done", "rows_failed", "create_time", "update_time", "products_written", "images_indexed", "images_unchanged", "offers_closed", "offers_reopened")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ROWS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ROWS_DONE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FAILED_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    IMAGES_INDEXED_FIELD_NUMBER: _ClassVar[int]
    IMAGES_UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    OFFERS_CLOSED_FIELD_NUMBER: _ClassVar[int]
    OFFERS_REOPENED_FIELD_NUMBER: _ClassVar[int]
    request: ImportProductsRequest
    rows_total: int
    rows_done: int
    rows_failed: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    products_written: int
    images_indexed: int
    images_unchanged: int
    offers_closed: int
    offers_reopened: int
    def __init__(self, request: _Optional[_Union[ImportProductsRequest, _Mapping]] = ..., rows_total: _Optional[int] = ..., rows_done: _Optional[int] = ..., rows_failed: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., products_written: _Optional[int] = ..., images_indexed: _Optional[int] = ..., images_unchanged: _Optional[int] = ..., offers_closed: _Optional[int] = ..., offers_reopened: _Optional[int] = ...) -> None: ...

class ImportProductsResponse(_message.Message):
    __slots__ = ("rows_total", "rows_failed", "products_written", "images_indexed", "errors_uri", "errors", "index_time", "images_unchanged", "offers_closed", "offers_reopened", "closing_refused")
    ROWS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ROWS_FAILED_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    IMAGES_INDEXED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_URI_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    INDEX_TIME_FIELD_NUMBER: _ClassVar[int]
    IMAGES_UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    OFFERS_CLOSED_FIELD_NUMBER: _ClassVar[int]
    OFFERS_REOPENED_FIELD_NUMBER: _ClassVar[int]
    CLOSING_REFUSED_FIELD_NUMBER: _ClassVar[int]
    rows_total: int
    rows_failed: int
    products_written: int
    images_indexed: int
    errors_uri: str
    errors: _containers.RepeatedCompositeFieldContainer[RowError]
    index_time: _timestamp_pb2.Timestamp
    images_unchanged: int
    offers_closed: int
    offers_reopened: int
    closing_refused: str
    def __init__(self, rows_total: _Optional[int] = ..., rows_failed: _Optional[int] = ..., products_written: _Optional[int] = ..., images_indexed: _Optional[int] = ..., errors_uri: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[RowError, _Mapping]]] = ..., index_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., images_unchanged: _Optional[int] = ..., offers_closed: _Optional[int] = ..., offers_reopened: _Optional[int] = ..., closing_refused: _Optional[str] = ...) -> None: ...

class RowError(_message.Message):
    __slots__ = ("row", "field", "problem")
    ROW_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    row: int
    field: str
    problem: str
    def __init__(self, row: _Optional[int] = ..., field: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class CompareReferenceImagesRequest(_message.Message):
    __slots__ = ("image", "image_ids")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    image: _vision_pb2.Image
    image_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, image: _Optional[_Union[_vision_pb2.Image, _Mapping]] = ..., image_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class CompareReferenceImagesResponse(_message.Message):
    __slots__ = ("agreements",)
    AGREEMENTS_FIELD_NUMBER: _ClassVar[int]
    agreements: _containers.RepeatedCompositeFieldContainer[Agreement]
    def __init__(self, agreements: _Optional[_Iterable[_Union[Agreement, _Mapping]]] = ...) -> None: ...

class Agreement(_message.Message):
    __slots__ = ("image_id", "features", "coverage", "colour", "detail")
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    COLOUR_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    image_id: str
    features: int
    coverage: float
    colour: float
    detail: float
    def __init__(self, image_id: _Optional[str] = ..., features: _Optional[int] = ..., coverage: _Optional[float] = ..., colour: _Optional[float] = ..., detail: _Optional[float] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("product_ids", "max_articles")
    PRODUCT_IDS_FIELD_NUMBER: _ClassVar[int]
    MAX_ARTICLES_FIELD_NUMBER: _ClassVar[int]
    product_ids: _containers.RepeatedScalarFieldContainer[str]
    max_articles: int
    def __init__(self, product_ids: _Optional[_Iterable[str]] = ..., max_articles: _Optional[int] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("products", "articles")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    ARTICLES_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[ProductDescription]
    articles: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Article]
    def __init__(self, products: _Optional[_Iterable[_Union[ProductDescription, _Mapping]]] = ..., articles: _Optional[_Iterable[_Union[_catalog_resources_pb2.Article, _Mapping]]] = ...) -> None: ...

class ProductDescription(_message.Message):
    __slots__ = ("product", "style", "offers")
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    product: _catalog_resources_pb2.Product
    style: _catalog_resources_pb2.Style
    offers: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Offer]
    def __init__(self, product: _Optional[_Union[_catalog_resources_pb2.Product, _Mapping]] = ..., style: _Optional[_Union[_catalog_resources_pb2.Style, _Mapping]] = ..., offers: _Optional[_Iterable[_Union[_catalog_resources_pb2.Offer, _Mapping]]] = ...) -> None: ...

class RecordGapRequest(_message.Message):
    __slots__ = ("gap", "vector", "model")
    GAP_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    gap: _catalog_resources_pb2.Gap
    vector: bytes
    model: str
    def __init__(self, gap: _Optional[_Union[_catalog_resources_pb2.Gap, _Mapping]] = ..., vector: _Optional[bytes] = ..., model: _Optional[str] = ...) -> None: ...

class ListGapsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "category", "state", "cluster_id", "order_by", "read_mask")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    category: str
    state: _catalog_resources_pb2.GapState
    cluster_id: str
    order_by: str
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., category: _Optional[str] = ..., state: _Optional[_Union[_catalog_resources_pb2.GapState, str]] = ..., cluster_id: _Optional[str] = ..., order_by: _Optional[str] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class ListGapsResponse(_message.Message):
    __slots__ = ("gaps", "next_page_token")
    GAPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    gaps: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Gap]
    next_page_token: str
    def __init__(self, gaps: _Optional[_Iterable[_Union[_catalog_resources_pb2.Gap, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ClusterGapsRequest(_message.Message):
    __slots__ = ("gaps",)
    GAPS_FIELD_NUMBER: _ClassVar[int]
    gaps: _containers.RepeatedCompositeFieldContainer[ClusteredGap]
    def __init__(self, gaps: _Optional[_Iterable[_Union[ClusteredGap, _Mapping]]] = ...) -> None: ...

class ClusteredGap(_message.Message):
    __slots__ = ("scan_id", "cluster_id")
    SCAN_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    scan_id: str
    cluster_id: str
    def __init__(self, scan_id: _Optional[str] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class RecordReplaysRequest(_message.Message):
    __slots__ = ("replay_id", "gaps")
    REPLAY_ID_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    replay_id: str
    gaps: _containers.RepeatedCompositeFieldContainer[ReplayedGap]
    def __init__(self, replay_id: _Optional[str] = ..., gaps: _Optional[_Iterable[_Union[ReplayedGap, _Mapping]]] = ...) -> None: ...

class ReplayedGap(_message.Message):
    __slots__ = ("scan_id", "product_id", "found", "confidence", "model", "index_time")
    SCAN_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_TIME_FIELD_NUMBER: _ClassVar[int]
    scan_id: str
    product_id: str
    found: bool
    confidence: float
    model: str
    index_time: _timestamp_pb2.Timestamp
    def __init__(self, scan_id: _Optional[str] = ..., product_id: _Optional[str] = ..., found: _Optional[bool] = ..., confidence: _Optional[float] = ..., model: _Optional[str] = ..., index_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListCoverageRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "category")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    category: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., category: _Optional[str] = ...) -> None: ...

class ListCoverageResponse(_message.Message):
    __slots__ = ("coverage", "next_page_token")
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    coverage: _containers.RepeatedCompositeFieldContainer[_catalog_resources_pb2.Coverage]
    next_page_token: str
    def __init__(self, coverage: _Optional[_Iterable[_Union[_catalog_resources_pb2.Coverage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RecordFeedbackRequest(_message.Message):
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

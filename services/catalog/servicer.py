"""The catalogue on the wire."""

from __future__ import annotations

from services.catalog.imports import Imports
from services.catalog.indexing import Indexer
from services.catalog.ingest import Ingest
from services.catalog.servicer_coverage import CoverageMethods
from services.catalog.servicer_images import ImageMethods
from services.catalog.servicer_offers import OfferMethods
from services.catalog.servicer_products import ProductMethods
from services.catalog.store import CatalogStore
from shiwu.v1.catalog_pb2_grpc import CatalogServiceServicer
from shiwu.vision.decode import Limits


class CatalogService(ProductMethods, OfferMethods, ImageMethods, CoverageMethods, CatalogServiceServicer):
    """Speaks protobuf outside and the resources inside; raises, never sets status codes. Its methods are its bases'."""

    def __init__(
        self, store: CatalogStore, indexer: Indexer, ingest: Ingest, imports: Imports, *, limits: Limits
    ) -> None:
        self._store = store
        self._indexer = indexer
        self._ingest = ingest
        self._imports = imports
        self._limits = limits

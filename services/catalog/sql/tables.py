"""The tables. Their columns carry the names of the fields in resources.py."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

from services.catalog.coverage import Verdict
from services.catalog.resources import State
from services.catalog.sql.column_types import KEY, OptionalKey, Price, UtcTime, text_enum

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


styles = Table(
    "styles",
    metadata,
    Column("style_id", KEY, primary_key=True),
    Column("title", Text, nullable=False),
    Column("category", String(32), nullable=False),
    Column("create_time", UtcTime, nullable=False),
    Column("update_time", UtcTime, nullable=False),
    Index(None, "category", "style_id"),
)

products = Table(
    "products",
    metadata,
    Column("product_id", KEY, primary_key=True),
    Column("style_id", OptionalKey, ForeignKey("styles.style_id")),
    Column("title", Text, nullable=False),
    Column("brand", Text, nullable=False),
    Column("category", String(32), nullable=False),
    Column("description", Text, nullable=False),
    Column("gtin", String(14), nullable=False),
    Column("create_time", UtcTime, nullable=False),
    Column("update_time", UtcTime, nullable=False),
    Index(None, "style_id", "product_id"),
    Index(None, "category", "product_id"),
)

reference_images = Table(
    "reference_images",
    metadata,
    Column("image_id", KEY, primary_key=True),
    Column("product_id", KEY, ForeignKey("products.product_id", ondelete="CASCADE"), nullable=False),
    Column("uri", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("index_time", UtcTime),
    Column("create_time", UtcTime, nullable=False),
    Column("update_time", UtcTime),  # of the revision; unset in what a process of an older release has written
    Column("revision", BigInteger, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("local_features", LargeBinary, nullable=False, server_default=""),  # an older release leaves them out
    Index(None, "product_id", "image_id"),
)
Index(
    "ix_reference_images_pending",
    reference_images.c.image_id,
    sqlite_where=reference_images.c.index_time.is_(None),
    postgresql_where=reference_images.c.index_time.is_(None),
)

image_states = Table(
    "image_states",
    metadata,
    Column("image_id", KEY, ForeignKey("reference_images.image_id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("etag", Text, nullable=False),
    Column("last_modified", Text, nullable=False),
)
"""Of pictures' files on the web. They hold for the row's file only while its sha256 is theirs."""

deleted_images = Table(
    "deleted_images",
    metadata,
    Column("image_id", KEY, primary_key=True),
    Column("delete_time", UtcTime, nullable=False),
    Index(None, "delete_time"),
)
"""Of late: a vector that was being stored meanwhile may be in the index all the same."""

version_vectors = Table(
    "version_vectors",
    metadata,
    Column("image_id", KEY, ForeignKey("reference_images.image_id", ondelete="CASCADE"), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)
"""Of the same pictures, by other versions of the model than the row's."""

offers = Table(
    "offers",
    metadata,
    Column("offer_id", KEY, primary_key=True),
    Column("product_id", KEY, ForeignKey("products.product_id", ondelete="CASCADE"), nullable=False),
    Column("merchant", Text, nullable=False),
    Column("price", Price, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("url", Text, nullable=False),
    Column("available", Boolean, nullable=False),
    Column("update_time", UtcTime, nullable=False),
    Column("close_time", UtcTime),
    Index(None, "product_id", "offer_id"),
    Index(None, "merchant", "offer_id"),
)

articles = Table(
    "articles",
    metadata,
    # The full-text index (fulltext.py) knows articles by number.
    Column("number", Integer, primary_key=True),
    Column("article_id", KEY, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("category", String(32), nullable=False),
    Column("update_time", UtcTime, nullable=False),
)

article_products = Table(
    "article_products",
    metadata,
    Column("product_id", KEY, ForeignKey("products.product_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, ForeignKey("articles.number", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("score", Float, nullable=False, server_default="1"),  # processes of an older release leave it out
    Index(None, "number", "position"),
)

gaps = Table(
    "gaps",
    metadata,
    Column("scan_id", KEY, primary_key=True),
    Column("category", String(32), nullable=False),
    Column("confidence", Float, nullable=False),
    Column("scan_time", UtcTime, nullable=False),
    Column("crop", LargeBinary, nullable=False),
    Column("comment", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("model", Text, nullable=False),
    Column("refused_product_id", OptionalKey),
    Column("cluster_id", OptionalKey),
    Index(None, "scan_time", "scan_id"),
    Index(None, "category", "scan_time", "scan_id"),
)

replays = Table(
    "replays",
    metadata,
    Column("scan_id", KEY, ForeignKey("gaps.scan_id", ondelete="CASCADE"), primary_key=True),
    Column("replay_id", KEY, nullable=False),
    Column("closed_in", OptionalKey),
    # A product that is deleted finds nothing any more.
    Column("product_id", OptionalKey, ForeignKey("products.product_id", ondelete="SET NULL"), index=True),
    Column("found", Boolean, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("model", Text, nullable=False),
    Column("index_time", UtcTime),
    Column("replay_time", UtcTime, nullable=False),
)
"""Which run replayed a gap last; what that came to, or, of a closed gap, what the run that `closed_in` it came to."""

coverage = Table(
    "coverage",
    metadata,
    Column("replay_id", KEY, primary_key=True),
    Column("category", String(32), primary_key=True),
    Column("update_time", UtcTime, nullable=False),
    Column("gaps", Integer, nullable=False),
    Column("without_crop", Integer, nullable=False),
    Column("replayed", Integer, nullable=False),
    Column("found", Integer, nullable=False),
    Column("closed", Integer, nullable=False),
    Index(None, "update_time", "replay_id", "category"),
)
"""Counts only, so they stay when the scans are erased."""

feedback = Table(
    "feedback",
    metadata,
    Column("scan_id", KEY, primary_key=True),
    Column("verdict", text_enum(Verdict), nullable=False),
    Column("product_id", KEY, nullable=False),
    Column("comment", Text, nullable=False),
    Column("update_time", UtcTime, nullable=False),
)

operations = Table(
    "import_operations",
    metadata,
    Column("operation_id", KEY, primary_key=True),
    Column("feed_uri", Text, nullable=False),
    Column("format", String(16), nullable=False),
    Column("default_merchant", Text, nullable=False),
    Column("feed_sha256", String(64), nullable=False),
    Column("state", text_enum(State), nullable=False),
    Column("error", Text, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("rows_total", BigInteger, nullable=False),
    Column("rows_done", BigInteger, nullable=False),
    Column("rows_failed", BigInteger, nullable=False),
    Column("products_written", BigInteger, nullable=False),
    Column("images_indexed", BigInteger, nullable=False),
    Column("errors_path", Text, nullable=False),
    Column("index_time", UtcTime),
    Column("create_time", UtcTime, nullable=False),
    Column("update_time", UtcTime, nullable=False),
    Column("lease_owner", String(200), nullable=False),
    Column("lease_until", UtcTime),
    # With defaults: a process of the release before adds rows without them.
    Column("complete", Boolean, nullable=False, server_default=false()),
    Column("force", Boolean, nullable=False, server_default=false()),
    Column("images_unchanged", BigInteger, nullable=False, server_default="0"),
    Column("offers_closed", BigInteger, nullable=False, server_default="0"),
    Column("offers_reopened", BigInteger, nullable=False, server_default="0"),
    Column("closing_refused", Text, nullable=False, server_default=""),
    Column("pictures_uri", Text, nullable=False, server_default=""),
    Index(None, "state", "create_time"),
)

problems = Table(
    "import_problems",
    metadata,
    Column("operation_id", KEY, ForeignKey("import_operations.operation_id", ondelete="CASCADE"), primary_key=True),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    Column("field", String(200), primary_key=True),
    Column("problem", Text, nullable=False),
    Column("content", Text, nullable=False),
)

"""Everything the first release keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.catalog.sql import fulltext

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
PRICE = sa.Numeric(28, 9).with_variant(sa.String(29), "sqlite")


def upgrade() -> None:
    op.create_table(
        "articles",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("article_id", KEY, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("category", sa.String(length=32), nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_articles"),
        sa.UniqueConstraint("article_id", name="uq_articles_article_id"),
    )

    op.create_table(
        "feedback",
        sa.Column("scan_id", KEY, nullable=False),
        sa.Column("verdict", sa.Enum("right", "wrong", name="verdict", native_enum=False, length=16), nullable=False),
        sa.Column("product_id", KEY, nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("scan_id", name="pk_feedback"),
    )

    op.create_table(
        "gaps",
        sa.Column("scan_id", KEY, nullable=False),
        sa.Column("category", sa.String(length=32), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("scan_time", TIME, nullable=False),
        sa.Column("crop", sa.LargeBinary(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scan_id", name="pk_gaps"),
    )
    op.create_index("ix_gaps_category_scan_time_scan_id", "gaps", ["category", "scan_time", "scan_id"])
    op.create_index("ix_gaps_scan_time_scan_id", "gaps", ["scan_time", "scan_id"])

    op.create_table(
        "import_operations",
        sa.Column("operation_id", KEY, nullable=False),
        sa.Column("feed_uri", sa.Text(), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("default_merchant", sa.Text(), nullable=False),
        sa.Column("feed_sha256", sa.String(length=64), nullable=False),
        sa.Column(
            "state",
            sa.Enum("running", "succeeded", "failed", "cancelled", name="state", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("rows_total", sa.BigInteger(), nullable=False),
        sa.Column("rows_done", sa.BigInteger(), nullable=False),
        sa.Column("rows_failed", sa.BigInteger(), nullable=False),
        sa.Column("products_written", sa.BigInteger(), nullable=False),
        sa.Column("images_indexed", sa.BigInteger(), nullable=False),
        sa.Column("errors_path", sa.Text(), nullable=False),
        sa.Column("index_time", TIME, nullable=True),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.Column("lease_owner", sa.String(length=200), nullable=False),
        sa.Column("lease_until", TIME, nullable=True),
        sa.PrimaryKeyConstraint("operation_id", name="pk_import_operations"),
    )
    op.create_index("ix_import_operations_state_create_time", "import_operations", ["state", "create_time"])

    op.create_table(
        "styles",
        sa.Column("style_id", KEY, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("category", sa.String(length=32), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("style_id", name="pk_styles"),
    )
    op.create_index("ix_styles_category_style_id", "styles", ["category", "style_id"])

    op.create_table(
        "import_problems",
        sa.Column("operation_id", KEY, nullable=False),
        sa.Column("row", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("field", sa.String(length=200), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["import_operations.operation_id"],
            name="fk_import_problems_operation_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("operation_id", "row", "field", name="pk_import_problems"),
    )

    op.create_table(
        "products",
        sa.Column("product_id", KEY, nullable=False),
        sa.Column("style_id", KEY, nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=False),
        sa.Column("category", sa.String(length=32), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("gtin", sa.String(length=14), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.ForeignKeyConstraint(["style_id"], ["styles.style_id"], name="fk_products_style_id"),
        sa.PrimaryKeyConstraint("product_id", name="pk_products"),
    )
    op.create_index("ix_products_category_product_id", "products", ["category", "product_id"])
    op.create_index("ix_products_style_id_product_id", "products", ["style_id", "product_id"])

    op.create_table(
        "article_products",
        sa.Column("product_id", KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["articles.number"], name="fk_article_products_number", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name="fk_article_products_product_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("product_id", "number", name="pk_article_products"),
    )
    op.create_index("ix_article_products_number_position", "article_products", ["number", "position"])

    op.create_table(
        "offers",
        sa.Column("offer_id", KEY, nullable=False),
        sa.Column("product_id", KEY, nullable=False),
        sa.Column("merchant", sa.Text(), nullable=False),
        sa.Column("price", PRICE, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("available", sa.Boolean(), nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name="fk_offers_product_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("offer_id", name="pk_offers"),
    )
    op.create_index("ix_offers_product_id_offer_id", "offers", ["product_id", "offer_id"])

    op.create_table(
        "reference_images",
        sa.Column("image_id", KEY, nullable=False),
        sa.Column("product_id", KEY, nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("index_time", TIME, nullable=True),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name="fk_reference_images_product_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name="pk_reference_images"),
    )
    op.create_index(
        "ix_reference_images_pending",
        "reference_images",
        ["image_id"],
        sqlite_where=sa.text("index_time IS NULL"),
        postgresql_where=sa.text("index_time IS NULL"),
    )
    op.create_index("ix_reference_images_product_id_image_id", "reference_images", ["product_id", "image_id"])

    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in fulltext.SQLITE_SCHEMA if sqlite else fulltext.POSTGRESQL_SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    for table in (
        fulltext.TABLE,
        *(
            "reference_images",
            "offers",
            "article_products",
            "products",
            "import_problems",
            "styles",
            "import_operations",
            "gaps",
            "feedback",
            "articles",
        ),
    ):
        op.drop_table(table)

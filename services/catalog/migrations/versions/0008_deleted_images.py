"""Pictures that were deleted of late, whose vectors may yet come into the index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEY = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "deleted_images",
        sa.Column("image_id", KEY, nullable=False),
        sa.Column("delete_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("image_id", name="pk_deleted_images"),
    )
    op.create_index("ix_deleted_images_delete_time", "deleted_images", ["delete_time"])


def downgrade() -> None:
    op.drop_table("deleted_images")

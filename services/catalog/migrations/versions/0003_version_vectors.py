"""Vectors of a picture by other versions of its model, while a new version takes over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "version_vectors",
        sa.Column("image_id", KEY, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["reference_images.image_id"], name="fk_version_vectors_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "model", name="pk_version_vectors"),
    )


def downgrade() -> None:
    op.drop_table("version_vectors")

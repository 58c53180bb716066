"""Offers that complete feeds close, what imports count of that, and the states of pictures' files on the web."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEY = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("offers", sa.Column("close_time", sa.DateTime(timezone=True)))
    op.create_index("ix_offers_merchant_offer_id", "offers", ["merchant", "offer_id"])
    # With defaults: processes of the release before go on adding imports without these.
    for flag in ("complete", "force"):
        op.add_column("import_operations", sa.Column(flag, sa.Boolean(), nullable=False, server_default=sa.false()))
    for count in ("images_unchanged", "offers_closed", "offers_reopened"):
        op.add_column("import_operations", sa.Column(count, sa.BigInteger(), nullable=False, server_default="0"))
    for words in ("closing_refused", "pictures_uri"):
        op.add_column("import_operations", sa.Column(words, sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "image_states",
        sa.Column("image_id", KEY, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("last_modified", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["reference_images.image_id"], name="fk_image_states_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name="pk_image_states"),
    )


def downgrade() -> None:
    op.drop_table("image_states")
    for column in (
        "pictures_uri", "closing_refused", "offers_reopened", "offers_closed", "images_unchanged", "force", "complete",
    ):  # fmt: skip
        op.drop_column("import_operations", column)
    op.drop_index("ix_offers_merchant_offer_id", "offers")
    op.drop_column("offers", "close_time")

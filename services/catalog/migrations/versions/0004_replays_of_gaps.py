"""Gaps know what was refused and what they cluster with; what replaying them came to, and counts of each run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEY = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Unset where there is none: processes of the release before go on writing rows without them.
    op.add_column("gaps", sa.Column("refused_product_id", KEY))
    op.add_column("gaps", sa.Column("cluster_id", KEY))

    op.create_table(
        "replays",
        sa.Column("scan_id", KEY, nullable=False),
        sa.Column("replay_id", KEY, nullable=False),
        sa.Column("closed_in", KEY, nullable=True),
        sa.Column("product_id", KEY, nullable=True),
        sa.Column("found", sa.Boolean(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("index_time", TIME, nullable=True),
        sa.Column("replay_time", TIME, nullable=False),
        sa.ForeignKeyConstraint(["scan_id"], ["gaps.scan_id"], name="fk_replays_scan_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name="fk_replays_product_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("scan_id", name="pk_replays"),
    )
    op.create_index("ix_replays_product_id", "replays", ["product_id"])

    op.create_table(
        "coverage",
        sa.Column("replay_id", KEY, nullable=False),
        sa.Column("category", sa.String(length=32), nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.Column("gaps", sa.Integer(), nullable=False),
        sa.Column("without_crop", sa.Integer(), nullable=False),
        sa.Column("replayed", sa.Integer(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("replay_id", "category", name="pk_coverage"),
    )
    op.create_index("ix_coverage_update_time_replay_id_category", "coverage", ["update_time", "replay_id", "category"])


def downgrade() -> None:
    op.drop_table("coverage")
    op.drop_table("replays")
    op.drop_column("gaps", "cluster_id")
    op.drop_column("gaps", "refused_product_id")

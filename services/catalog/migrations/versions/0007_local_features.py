"""Local features of pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a default: processes of the release before go on adding pictures without them.
    op.add_column("reference_images", sa.Column("local_features", sa.LargeBinary(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("reference_images", "local_features")

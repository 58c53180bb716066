"""When a picture last changed, so that one can tell how long it has waited for the index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Unset where it is not known: processes of the release before go on writing rows without it.
    op.add_column("reference_images", sa.Column("update_time", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("reference_images", "update_time")

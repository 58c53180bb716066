"""How sure an article is about each of its products."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What is there already, and what processes of the release before go on writing, people have said.
    op.add_column("article_products", sa.Column("score", sa.Float(), nullable=False, server_default="1"))


def downgrade() -> None:
    op.drop_column("article_products", "score")

"""How sure an article is about each of its products; and articles' words with whole titles, in simplified Chinese."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.catalog.sql.fulltext import full_text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BATCH = 500


def upgrade() -> None:
    # What is there already, and what processes of the release before go on writing, people have said.
    op.add_column("article_products", sa.Column("score", sa.Float(), nullable=False, server_default="1"))
    connection = op.get_bind()
    words = full_text(connection.dialect.name)
    articles = sa.table("articles", *map(sa.column, ("number", "title", "body")))
    after = 0
    while rows := connection.execute(
        sa.select(articles).where(articles.c.number > after).order_by(articles.c.number).limit(_BATCH)
    ).all():
        for number, title, body in rows:
            words.put(connection, number, title, body)
        after = rows[-1].number


def downgrade() -> None:
    op.drop_column("article_products", "score")

"""Which versions of a table are needed: by the tables of clones, and for a time since they were heads."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("table_bases", sa.Column("base_version", sa.BigInteger))
    op.create_table(
        "superseded",
        sa.Column("table_key", sa.String(255), primary_key=True),
        sa.Column("table_version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False, index=True),
    )


def downgrade() -> None:
    op.drop_table("superseded")
    op.drop_column("table_bases", "base_version")

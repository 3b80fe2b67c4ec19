"""Imports, and what is known of images by their bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    imports = op.create_table(
        "imports",
        sa.Column("job", sa.String(32), primary_key=True),
        sa.Column("dataset", sa.String(64), nullable=False, index=True),
        sa.Column("summary", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
    # Each dataset that is there was made by the import of its uid.
    datasets = sa.table("datasets", *(sa.column(name) for name in ("uid", "create_time")))
    made = sa.select(datasets.c.uid, datasets.c.uid, sa.literal(b"", sa.LargeBinary), datasets.c.create_time)
    op.execute(sa.insert(imports).from_select(["job", "dataset", "summary", "create_time"], made))
    op.create_table(
        "contents",
        sa.Column("hash", sa.LargeBinary(16), primary_key=True),
        sa.Column("max_side", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False, index=True),
        sa.Column("fingerprint", sa.BigInteger, nullable=False, index=True),
        sa.Column("row", sa.LargeBinary, nullable=False),
        sa.Column("remarks", sa.LargeBinary, nullable=False),
        sa.Column("original_object", sa.String(255), nullable=False, index=True),
        sa.Column("derived_object", sa.String(255), nullable=False, index=True),
    )
    op.create_table(
        "objects",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("last_used", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lent", sa.Boolean, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
    )
    op.create_table(
        "object_references",
        sa.Column("table_key", sa.String(255), primary_key=True),
        sa.Column("table_version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("object", sa.String(255), primary_key=True, index=True),
    )


def downgrade() -> None:
    op.drop_table("object_references")
    op.drop_table("objects")
    op.drop_table("contents")
    op.drop_table("imports")

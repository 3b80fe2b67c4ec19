"""Datasets and uploads."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("uid", sa.String(64), primary_key=True),
        sa.Column("user", sa.String(63), nullable=False),
        sa.Column("slug", sa.String(63), nullable=False),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("table_key", sa.String(255), nullable=False),
        sa.Column("table_version", sa.BigInteger, nullable=False),
        sa.Column("image_count", sa.BigInteger, nullable=False),
        sa.Column("annotation_count", sa.BigInteger, nullable=False),
        sa.Column("image_bytes", sa.BigInteger, nullable=False),
        sa.Column("source_format", sa.String(63), nullable=False),
        sa.Column("summary", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("user", "slug"),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("file_name", sa.String(1024), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("part_size", sa.BigInteger, nullable=False),
        sa.Column("multipart_id", sa.String(1024), nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("uploads")
    op.drop_table("datasets")

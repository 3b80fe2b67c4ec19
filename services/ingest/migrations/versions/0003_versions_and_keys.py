"""What a dataset says of itself, the trash, versions, removed images, recipes and keys."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

UNIQUE = "datasets_user_slug_key"
"""The name that PostgreSQL gave it; SQLite gave none."""
NAMES = {"uq": "%(table_name)s_%(column_0_N_name)s_key"}
OUTSIDE_OF_TRASH = sa.text("delete_time IS NULL")


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    with op.batch_alter_table("datasets", naming_convention=NAMES) as datasets:
        datasets.add_column(sa.Column("description", sa.Text, nullable=False, server_default=""))
        datasets.add_column(sa.Column("license", sa.String(63), nullable=False, server_default=""))
        datasets.add_column(sa.Column("license_locked", sa.Boolean, nullable=False, server_default=sa.false()))
        datasets.add_column(sa.Column("public", sa.Boolean, nullable=False, server_default=sa.false()))
        datasets.add_column(sa.Column("task", sa.Integer, nullable=False, server_default="0"))
        datasets.add_column(sa.Column("star_count", sa.BigInteger, nullable=False, server_default="0"))
        datasets.add_column(sa.Column("cloned_from", sa.String(255), nullable=False, server_default=""))
        datasets.add_column(sa.Column("delete_time", time))
        datasets.drop_constraint(UNIQUE, type_="unique")
    op.create_index(
        "datasets_name",
        "datasets",
        ["user", "slug"],
        unique=True,
        sqlite_where=OUTSIDE_OF_TRASH,
        postgresql_where=OUTSIDE_OF_TRASH,
    )
    op.create_index("datasets_trash", "datasets", ["delete_time"])
    op.add_column("uploads", sa.Column("owner", sa.String(63), nullable=False, server_default=""))
    op.create_index("ix_uploads_owner", "uploads", ["owner"])
    op.add_column("imports", sa.Column("tag", sa.String(63), nullable=False, server_default=""))
    op.create_table(
        "stars",
        sa.Column("dataset", sa.String(64), primary_key=True),
        sa.Column("user", sa.String(63), primary_key=True),
    )
    op.create_table(
        "table_bases",
        sa.Column("table_key", sa.String(255), primary_key=True),
        sa.Column("base_key", sa.String(255), primary_key=True, index=True),
    )
    op.create_table(
        "versions",
        sa.Column("dataset", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("table_key", sa.String(255), nullable=False),
        sa.Column("table_version", sa.BigInteger, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("image_count", sa.BigInteger, nullable=False),
        sa.Column("annotation_count", sa.BigInteger, nullable=False),
        sa.Column("image_bytes", sa.BigInteger, nullable=False),
        sa.Column("summary", sa.LargeBinary, nullable=False),
        sa.Column("request_id", sa.String(255), nullable=False),
        sa.Column("create_time", time, nullable=False),
        sa.Column("snapshot_size", sa.BigInteger),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "removals",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("dataset", sa.String(64), nullable=False, index=True),
        sa.Column("table_version", sa.BigInteger, nullable=False),
        sa.Column("next_version", sa.BigInteger, nullable=False),
        sa.Column("image_count", sa.BigInteger, nullable=False),
        sa.Column("paths", sa.LargeBinary, nullable=False),
        sa.Column("create_time", time, nullable=False, index=True),
    )
    op.create_table(
        "recipes",
        sa.Column("user", sa.String(63), primary_key=True),
        sa.Column("slug", sa.String(63), primary_key=True),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("write", sa.LargeBinary, nullable=False),
        sa.Column("create_time", time, nullable=False),
        sa.Column("update_time", time, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("user", sa.String(63), nullable=False, index=True),
        sa.Column("hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("scopes", sa.Integer, nullable=False),
        sa.Column("requests_per_second", sa.Integer, nullable=False),
        sa.Column("concurrent_jobs", sa.Integer, nullable=False),
        sa.Column("stored_bytes", sa.BigInteger, nullable=False),
        sa.Column("create_time", time, nullable=False),
        sa.Column("expire_time", time),
        sa.Column("last_used_time", time),
        sa.Column("revoke_time", time),
    )


def downgrade() -> None:
    for table in ("keys", "recipes", "removals", "versions", "table_bases", "stars"):
        op.drop_table(table)
    op.drop_column("imports", "tag")
    op.drop_index("ix_uploads_owner", "uploads")
    op.drop_column("uploads", "owner")
    op.drop_index("datasets_trash", "datasets")
    op.drop_index("datasets_name", "datasets")
    with op.batch_alter_table("datasets") as datasets:
        for column in (
            "delete_time",
            "cloned_from",
            "star_count",
            "task",
            "public",
            "license_locked",
            "license",
            "description",
        ):
            datasets.drop_column(column)
        datasets.create_unique_constraint(UNIQUE, ["user", "slug"])

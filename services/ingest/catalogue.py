"""The catalogue database. Only ingest opens it; what is large lies in the bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Index,
    LargeBinary,
    String,
    Text,
    bindparam,
    create_engine,
    event,
    exists,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column, sessionmaker
from sqlalchemy.types import TypeDecorator

from framehouse.runtime.access import CALLER
from framehouse.runtime.errors import InvalidArgument, Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"


class UtcDateTime(TypeDecorator[datetime]):
    """Times as UTC, also where the database keeps no zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    """Base of the tables."""


def _where(condition: str) -> dict[str, Any]:
    """That an index has only rows of which the condition is true."""
    return {f"{dialect}_where": text(condition) for dialect in ("sqlite", "postgresql")}


class StarRow(Base):
    """A user likes a dataset."""

    __tablename__ = "stars"

    dataset: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The dataset's uid."""
    user: Mapped[str] = mapped_column(String(63), primary_key=True)


class VersionRow(Base):
    """A numbered version of a dataset, which never changes but for its description and its snapshot."""

    __tablename__ = "versions"

    dataset: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The dataset's uid."""
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    table_key: Mapped[str] = mapped_column(String(255))
    table_version: Mapped[int] = mapped_column(BigInteger)
    description: Mapped[str] = mapped_column(Text)
    image_count: Mapped[int] = mapped_column(BigInteger)
    annotation_count: Mapped[int] = mapped_column(BigInteger)
    image_bytes: Mapped[int] = mapped_column(BigInteger)
    summary: Mapped[bytes] = mapped_column(LargeBinary)
    """A serialised Dataset of labels, splits and issues alone."""
    request_id: Mapped[str] = mapped_column(String(255))
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    snapshot_size: Mapped[int | None] = mapped_column(BigInteger)
    """Null until the snapshot is written."""
    revision: Mapped[int] = mapped_column(BigInteger)


def _caller() -> str:
    """Whose stars count; those of the local user where nobody is asked who it is."""
    caller = CALLER.get()
    return caller.user if caller else "local"


class DatasetRow(Base):
    """A dataset that can be seen: its name, and where the head of its table is."""

    __tablename__ = "datasets"
    # Outside of the trash no two have one name.
    __table_args__ = (
        Index("datasets_name", "user", "slug", unique=True, **_where("delete_time IS NULL")),
        Index("datasets_trash", "delete_time"),
    )

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(String(63))
    slug: Mapped[str] = mapped_column(String(63))
    display_name: Mapped[str] = mapped_column(String(255))
    table_key: Mapped[str] = mapped_column(String(255))
    table_version: Mapped[int] = mapped_column(BigInteger)
    image_count: Mapped[int] = mapped_column(BigInteger)
    annotation_count: Mapped[int] = mapped_column(BigInteger)
    image_bytes: Mapped[int] = mapped_column(BigInteger)
    source_format: Mapped[str] = mapped_column(String(63))
    summary: Mapped[bytes] = mapped_column(LargeBinary)
    """A serialised Dataset of labels, splits and issues alone."""
    create_time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    update_time: Mapped[datetime] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(BigInteger)
    description: Mapped[str] = mapped_column(Text, default="")
    license: Mapped[str] = mapped_column(String(63), default="")
    license_locked: Mapped[bool] = mapped_column(default=False)
    public: Mapped[bool] = mapped_column(default=False)
    task: Mapped[int] = mapped_column(default=0)
    """A number of the enum Task."""
    star_count: Mapped[int] = mapped_column(BigInteger, default=0)
    cloned_from: Mapped[str] = mapped_column(String(255), default="")
    delete_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it was moved to the trash."""
    newest_version: Mapped[int] = column_property(
        select(func.coalesce(func.max(VersionRow.number), 0))
        .where(VersionRow.dataset == uid)
        .correlate_except(VersionRow)
        .scalar_subquery()
    )
    """Its number, as it is when the row is read; 0 for none."""
    starred: Mapped[bool] = column_property(
        exists().where(StarRow.dataset == uid, StarRow.user == bindparam("caller", callable_=_caller)).label("starred")
    )
    """Whether the caller likes it who reads the row."""


class TableBaseRow(Base):
    """The table of a clone reads files of another one, which must stay."""

    __tablename__ = "table_bases"

    table_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    base_key: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)
    base_version: Mapped[int | None] = mapped_column(BigInteger)
    """The version that has these files. Null of clones that were made before it was noted."""


class SupersededRow(Base):
    """A version of a table was the head of a dataset until some time ago, and may still be read by who began before."""

    __tablename__ = "superseded"

    table_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    table_version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class RemovalRow(Base):
    """Images were removed from a dataset: what the version before had and the version after has not."""

    __tablename__ = "removals"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64), index=True)
    """The dataset's uid."""
    table_version: Mapped[int] = mapped_column(BigInteger)
    """The version before."""
    next_version: Mapped[int] = mapped_column(BigInteger)
    """The version after."""
    image_count: Mapped[int] = mapped_column(BigInteger)
    paths: Mapped[bytes] = mapped_column(LargeBinary)
    """A serialised Removal of the first paths alone."""
    create_time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class RecipeRow(Base):
    """What an export is like, kept under a name."""

    __tablename__ = "recipes"

    user: Mapped[str] = mapped_column(String(63), primary_key=True)
    slug: Mapped[str] = mapped_column(String(63), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(255))
    write: Mapped[bytes] = mapped_column(LargeBinary)
    """A serialised WriteOptions."""
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    update_time: Mapped[datetime] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(BigInteger)


class KeyRow(Base):
    """A key that callers show. Its secret is kept as a hash."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user: Mapped[str] = mapped_column(String(63), index=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    """SHA-256 of the secret, which is random and long."""
    prefix: Mapped[str] = mapped_column(String(16))
    display_name: Mapped[str] = mapped_column(String(255))
    scopes: Mapped[int]
    """A bit for each number of the enum Scope."""
    requests_per_second: Mapped[int]
    concurrent_jobs: Mapped[int]
    stored_bytes: Mapped[int] = mapped_column(BigInteger)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    expire_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoke_time: Mapped[datetime | None] = mapped_column(UtcDateTime)


class UploadRow(Base):
    """An upload: what was announced, and how far it came."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    file_name: Mapped[str] = mapped_column(String(1024))
    size: Mapped[int] = mapped_column(BigInteger)
    part_size: Mapped[int] = mapped_column(BigInteger)
    multipart_id: Mapped[str] = mapped_column(String(1024))
    """The store's id of a multipart upload; empty for one that goes in one piece."""
    complete: Mapped[bool]
    owner: Mapped[str] = mapped_column(String(63), default="", index=True)
    """The user who sent it; empty where nobody was asked who it is."""
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    expire_time: Mapped[datetime] = mapped_column(UtcDateTime)


class ImportRow(Base):
    """An import that made a dataset or added to it. Its issues and previews are kept under its job's id."""

    __tablename__ = "imports"

    job: Mapped[str] = mapped_column(String(32), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64), index=True)
    """The dataset's uid."""
    summary: Mapped[bytes] = mapped_column(LargeBinary)
    """A serialised AddSummary."""
    tag: Mapped[str] = mapped_column(String(63), default="")
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)


class ContentRow(Base):
    """What is known of an image by its bytes alone."""

    __tablename__ = "contents"

    hash: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    """XXH3-128."""
    max_side: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """The longest side that a normalised image may have, by which it was looked at."""
    size: Mapped[int] = mapped_column(BigInteger, index=True)
    """Bytes."""
    fingerprint: Mapped[int] = mapped_column(BigInteger, index=True)
    """Size and CRC-32 as one number: pairs of columns are found slowly."""
    row: Mapped[bytes] = mapped_column(LargeBinary)
    remarks: Mapped[bytes] = mapped_column(LargeBinary)
    original_object: Mapped[str] = mapped_column(String(255), index=True)
    derived_object: Mapped[str] = mapped_column(String(255), index=True)


class ObjectRow(Base):
    """An object that images lie in: when it was last of use, and whether it is being removed."""

    __tablename__ = "objects"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    last_used: Mapped[datetime] = mapped_column(UtcDateTime)
    """When it was last read, answered or referred to; of a removed one, when it was marked."""
    lent: Mapped[bool]
    """Whether a job was answered it that had not written it."""
    removed: Mapped[bool]
    """Once true, it is never answered or referred to again."""


class ReferenceRow(Base):
    """A version of a table refers to an object."""

    __tablename__ = "object_references"

    table_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    table_version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    object: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)


class Catalogue:
    """The database of one process. `session()` is one transaction."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, pool_pre_ping=True)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _configure_sqlite)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)

    def migrate(self) -> None:
        """Brings the tables to the newest form."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._reaching(), self._engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction: committed at the end, rolled back on an exception."""
        with self._reaching(), self._sessions.begin() as session:
            yield session

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            url = self._engine.url
            address = f"{url.host}:{url.port}" if url.host else str(url.database)
            raise Unavailable("catalogue database", address, str(error.orig)) from error
        except DataError as error:
            raise InvalidArgument(
                f"a value of the request cannot be looked up or kept ({error.orig}); leave out characters of number 0"
            ) from error


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=10000")
    connection.execute("PRAGMA foreign_keys=ON")
    # Its own knows the letters of English alone.
    connection.create_function("lower", 1, lambda value: value and str(value).lower(), deterministic=True)


def upsert(session: Session, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """`INSERT` into a table, to be given what it does on a conflict, in the words of the session's database."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def now() -> datetime:
    return datetime.now(UTC)

"""The servicer of `KeyService`: keys, made, listed, revoked and checked.

A secret is random and long, so that its SHA-256 is enough to keep it safe, and to find the key by it.
"""

import asyncio
import hashlib
import hmac
import secrets
import uuid
from datetime import UTC, datetime, timedelta

from google.protobuf import empty_pb2
from sqlalchemy import ColumnElement, or_, select, tuple_, update

from framehouse.runtime import access
from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from framehouse.runtime.page_tokens import not_ours, token_of, values_of
from framehouse.v1 import key_pb2
from services.ingest.catalogue import Catalogue, KeyRow, now
from services.ingest.datasets import page_size
from services.ingest.names import key_parts, user_of

PREFIX = "fh_"
SECRET_BYTES = 32
SHOWN_LETTERS = 10
USED_STEP = timedelta(minutes=5)
"""How far behind `last_used_time` may be."""
ADMIN_USER = "local"
"""To whom belongs what is made with FRAMEHOUSE_ADMIN_KEY: the user that short names mean."""
ADMIN_NAME = f"users/{ADMIN_USER}/keys/admin"
LONGEST_DISPLAY_NAME = 255

EVERYBODY = "users/-"
NEW_ONE = "ask who runs the suite for another (`framehouse keys create`)"


class KeyService:
    """Keeps keys, and only the hashes of their secrets."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def CreateKey(self, request: key_pb2.CreateKeyRequest) -> key_pb2.Key:
        return await asyncio.to_thread(create, self._catalogue, request)

    async def ListKeys(self, request: key_pb2.ListKeysRequest) -> key_pb2.ListKeysResponse:
        return await asyncio.to_thread(list_keys, self._catalogue, request)

    async def RevokeKey(self, request: key_pb2.RevokeKeyRequest) -> empty_pb2.Empty:
        await asyncio.to_thread(revoke, self._catalogue, request.name)
        return empty_pb2.Empty()

    async def CheckKey(self, request: key_pb2.CheckKeyRequest) -> key_pb2.Key:
        return await asyncio.to_thread(check, self._catalogue, request.secret)


def create(catalogue: Catalogue, request: key_pb2.CreateKeyRequest) -> key_pb2.Key:
    user, asked = user_of(request.parent), request.key
    access.check_user(user)
    scopes = sorted(set(asked.scopes))
    if not scopes or not set(scopes) <= {key_pb2.SCOPE_READ, key_pb2.SCOPE_WRITE, key_pb2.SCOPE_ADMIN}:
        raise InvalidArgument("a key needs one or more of the scopes read, write and admin", field="key.scopes")
    if len(asked.display_name) > LONGEST_DISPLAY_NAME:
        raise InvalidArgument(f"display_name has more than {LONGEST_DISPLAY_NAME} letters", field="key.display_name")
    if min(asked.limits.requests_per_second, asked.limits.concurrent_jobs, asked.limits.stored_bytes) < 0:
        raise InvalidArgument("a limit is negative; 0 takes what the server's settings say", field="key.limits")
    began = now()
    try:
        expires = asked.expire_time.ToDatetime(UTC) if asked.HasField("expire_time") else None
    except ValueError as error:
        raise InvalidArgument(
            f"expire_time is no time ({error}); leave it out for a key that never ends", field="key.expire_time"
        ) from error
    if expires is not None and expires <= began:
        raise InvalidArgument("expire_time is over already", field="key.expire_time")
    # Whoever holds it can tell by it whose names are its own.
    secret = f"{PREFIX}{secrets.token_urlsafe(SECRET_BYTES)}.{user}"
    row = KeyRow(
        id=uuid.uuid4().hex,
        user=user,
        hash=_hash(secret),
        prefix=secret[:SHOWN_LETTERS],
        display_name=asked.display_name,
        scopes=sum(1 << scope for scope in scopes),
        requests_per_second=asked.limits.requests_per_second,
        concurrent_jobs=asked.limits.concurrent_jobs,
        stored_bytes=asked.limits.stored_bytes,
        create_time=began,
        expire_time=expires,
    )
    with catalogue.session() as session:
        if (caller := access.CALLER.get()) is not None and not caller.admin:
            _keep_within(row, session.get(KeyRow, key_parts(caller.key)[1]))
        session.add(row)
    made = _message(row)
    made.secret = secret
    return made


def _keep_within(row: KeyRow, maker: KeyRow | None) -> None:
    """Gives a key what the key has that it is made with, where nothing is said, and refuses it what that has not."""
    if maker is None:
        raise PermissionDenied("only a key with the scope admin can make keys here", reason="SCOPE_MISSING")
    if max(_scopes(row)) > max(_scopes(maker)):
        raise PermissionDenied("a key cannot have a scope that the key it is made with has not", reason="SCOPE_MISSING")
    row.expire_time = row.expire_time or maker.expire_time
    if maker.expire_time and row.expire_time and row.expire_time > maker.expire_time:
        raise PermissionDenied("a key cannot outlive the key that it is made with", reason="KEY_OUTLIVES")
    for limit in ("requests_per_second", "concurrent_jobs", "stored_bytes"):
        setattr(row, limit, getattr(row, limit) or getattr(maker, limit))
        if 0 < getattr(maker, limit) < getattr(row, limit):
            raise PermissionDenied(
                f"{limit} cannot be higher than that of the key that it is made with, {getattr(maker, limit):,}",
                reason="LIMIT_HIGHER",
            )


def list_keys(catalogue: Catalogue, request: key_pb2.ListKeysRequest) -> key_pb2.ListKeysResponse:
    size = page_size(request.page_size)
    query = select(KeyRow)
    if request.parent == EVERYBODY:
        if (caller := access.CALLER.get()) is not None and not caller.admin:
            raise PermissionDenied("the keys of all users are for the scope admin", reason="SCOPE_MISSING")
    else:
        user = user_of(request.parent)
        access.check_user(user)
        query = query.filter_by(user=user)
    if request.page_token:
        query = query.where(_after(request))
    query = query.order_by(KeyRow.create_time.desc(), KeyRow.id.desc()).limit(size + 1)
    with catalogue.session() as session:
        rows = list(session.scalars(query))
    response = key_pb2.ListKeysResponse(keys=[_message(row) for row in rows[:size]])
    if len(rows) > size:
        last = rows[size - 1]
        response.next_page_token = token_of([request.parent, last.create_time.isoformat(), last.id])
    return response


def _after(request: key_pb2.ListKeysRequest) -> ColumnElement[bool]:
    try:
        parent, time, key = values_of(request.page_token)
        if parent != request.parent:
            raise ValueError
        return tuple_(KeyRow.create_time, KeyRow.id) < (datetime.fromisoformat(time), str(key))
    except (ValueError, TypeError):
        raise not_ours("parent") from None


def revoke(catalogue: Catalogue, name: str) -> None:
    user, key = key_parts(name)
    access.check_read(user, "key", name)
    with catalogue.session() as session:
        if session.scalar(select(KeyRow.id).filter_by(id=key, user=user)) is None:
            raise NotFound("key", name, "list the keys there are with ListKeys")
        session.execute(update(KeyRow).filter_by(id=key, revoke_time=None).values(revoke_time=now()))


def check(catalogue: Catalogue, secret: str) -> key_pb2.Key:
    """The key of a secret, with the limits that count for it."""
    admin = settings().admin_key.get_secret_value()
    if admin and hmac.compare_digest(secret.encode(), admin.encode()):
        return key_pb2.Key(name=ADMIN_NAME, scopes=[key_pb2.SCOPE_ADMIN])
    with catalogue.session() as session:
        row = session.scalar(select(KeyRow).filter_by(hash=_hash(secret)))
    if row is None:
        raise Unauthenticated(f"the key is not one of this suite; {NEW_ONE}", reason="KEY_UNKNOWN")
    time = now()
    if row.revoke_time is not None:
        raise Unauthenticated(f"the key {row.prefix}… was revoked; {NEW_ONE}", reason="KEY_REVOKED")
    if row.expire_time is not None and row.expire_time <= time:
        raise Unauthenticated(f"the key {row.prefix}… has ended; {NEW_ONE}", reason="KEY_EXPIRED")
    if row.last_used_time is None or row.last_used_time < time - USED_STEP:
        unsaid = or_(KeyRow.last_used_time.is_(None), KeyRow.last_used_time < time - USED_STEP)
        with catalogue.session() as session:
            session.execute(update(KeyRow).where(KeyRow.id == row.id, unsaid).values(last_used_time=time))
    key = _message(row)
    limits, usual = key.limits, settings()
    limits.requests_per_second = limits.requests_per_second or usual.limit_requests_per_second
    limits.concurrent_jobs = limits.concurrent_jobs or usual.limit_concurrent_jobs
    limits.stored_bytes = limits.stored_bytes or usual.limit_stored_bytes
    return key


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _scopes(row: KeyRow) -> list[int]:
    known = (key_pb2.SCOPE_READ, key_pb2.SCOPE_WRITE, key_pb2.SCOPE_ADMIN)
    return [scope for scope in known if row.scopes >> scope & 1]


def _message(row: KeyRow) -> key_pb2.Key:
    key = key_pb2.Key(
        name=f"users/{row.user}/keys/{row.id}",
        display_name=row.display_name,
        scopes=_scopes(row),  # type: ignore[arg-type]  # numbers of the enum
        prefix=row.prefix,
        limits=key_pb2.KeyLimits(
            requests_per_second=row.requests_per_second,
            concurrent_jobs=row.concurrent_jobs,
            stored_bytes=row.stored_bytes,
        ),
    )
    for field in ("create_time", "expire_time", "last_used_time", "revoke_time"):
        if (time := getattr(row, field)) is not None:
            getattr(key, field).FromDatetime(time)
    return key

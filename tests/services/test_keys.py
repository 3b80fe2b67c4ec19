"""Keys in the catalogue: what is stored of them, and what they are worth."""

from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from framehouse.client import names
from framehouse.runtime import access
from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from framehouse.v1 import key_pb2
from services.ingest import keys
from services.ingest.catalogue import Catalogue, KeyRow, now
from tests.services import catalogues


def create(catalogue: Catalogue, user: str, **fields: object) -> key_pb2.Key:
    asked: Any = {"scopes": [key_pb2.SCOPE_READ, key_pb2.SCOPE_WRITE], **fields}
    key = key_pb2.Key(**asked)
    return keys.create(catalogue, key_pb2.CreateKeyRequest(parent=f"users/{user}", key=key))


def listed(catalogue: Catalogue, user: str, **fields: Any) -> list[str]:
    request = key_pb2.ListKeysRequest(parent=f"users/{user}", **fields)
    return [key.name for key in keys.list_keys(catalogue, request).keys]


def test_a_secret_is_told_once_and_kept_as_a_hash(each_catalogue: Catalogue) -> None:
    made = create(each_catalogue, "ann", display_name="laptop")
    assert made.secret.startswith(made.prefix)
    assert len(made.secret) == len("fh_") + 43 + len(".ann")
    assert names.own_user(made.secret) == "users/ann"
    (found,) = keys.list_keys(each_catalogue, key_pb2.ListKeysRequest(parent="users/ann")).keys
    assert (found.secret, found.display_name, found.prefix) == ("", "laptop", made.prefix)
    with each_catalogue.session() as session:
        kept = session.scalars(select(KeyRow)).one()
    assert made.secret.encode() not in kept.hash
    assert keys.check(each_catalogue, made.secret).name == made.name


def test_a_key_is_worth_nothing_once_it_is_revoked_or_over(each_catalogue: Catalogue) -> None:
    revoked, ended = (create(each_catalogue, "ann") for _ in range(2))
    keys.revoke(each_catalogue, revoked.name)
    keys.revoke(each_catalogue, revoked.name)  # safe to retry
    with each_catalogue.session() as session:
        session.execute(update(KeyRow).filter_by(prefix=ended.prefix).values(expire_time=now()))
    for secret, reason in (
        (revoked.secret, "KEY_REVOKED"),
        (ended.secret, "KEY_EXPIRED"),
        ("fh_unknown", "KEY_UNKNOWN"),
    ):
        with pytest.raises(Unauthenticated) as refused:
            keys.check(each_catalogue, secret)
        assert refused.value.reason == reason
        assert secret not in refused.value.text
    with pytest.raises(NotFound):
        keys.revoke(each_catalogue, "users/ben/keys/" + revoked.name.rpartition("/")[2])


def test_its_last_use_is_known_within_minutes(each_catalogue: Catalogue) -> None:
    made = create(each_catalogue, "ann")
    first = keys.check(each_catalogue, made.secret)
    assert not first.HasField("last_used_time")
    used = keys.check(each_catalogue, made.secret).last_used_time.ToDatetime(UTC)
    assert keys.check(each_catalogue, made.secret).last_used_time.ToDatetime(UTC) == used
    with each_catalogue.session() as session:
        session.execute(update(KeyRow).values(last_used_time=used - timedelta(minutes=6)))
    keys.check(each_catalogue, made.secret)
    assert keys.check(each_catalogue, made.secret).last_used_time.ToDatetime(UTC) >= used


def test_keys_are_listed_in_pages_newest_first(each_catalogue: Catalogue) -> None:
    made = [create(each_catalogue, "ann").name for _ in range(5)]
    other = create(each_catalogue, "ben").name
    pages, token = [], ""
    while True:
        request = key_pb2.ListKeysRequest(parent="users/ann", page_size=2, page_token=token)
        page = keys.list_keys(each_catalogue, request)
        pages.append([key.name for key in page.keys])
        token = page.next_page_token
        if not token:
            break
    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
    assert listed(each_catalogue, "-")[0] == other
    for wrong in ("nonsense", "W10="):
        with pytest.raises(InvalidArgument, match="page_token"):
            listed(each_catalogue, "ann", page_token=wrong)


def test_a_wrong_key_is_refused_by_its_field(tmp_path: Path) -> None:
    catalogue = catalogues.sqlite(tmp_path)
    for field, wrong in (
        ("key.scopes", {"scopes": []}),
        ("key.scopes", {"scopes": [0]}),
        ("key.scopes", {"scopes": [9]}),
        ("key.limits", {"limits": key_pb2.KeyLimits(stored_bytes=-1)}),
        ("key.display_name", {"display_name": "x" * 256}),
        ("key.expire_time", {"expire_time": now() - timedelta(seconds=1)}),
    ):
        with pytest.raises(InvalidArgument) as refused:
            create(catalogue, "ann", **wrong)
        assert refused.value.details[1].field_violations[0].field == field


def test_the_limits_of_the_settings_count_where_a_key_has_none(
    each_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = settings().model_copy(update={"limit_requests_per_second": 5, "limit_concurrent_jobs": 2})
    monkeypatch.setattr(keys, "settings", lambda: usual)
    own = create(each_catalogue, "ann", limits=key_pb2.KeyLimits(requests_per_second=9))
    assert own.limits.concurrent_jobs == 0
    limits = keys.check(each_catalogue, own.secret).limits
    assert (limits.requests_per_second, limits.concurrent_jobs, limits.stored_bytes) == (9, 2, 0)


def test_the_key_of_the_settings_is_one_for_everything(
    each_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydantic import SecretStr

    usual = settings().model_copy(update={"admin_key": SecretStr("fh_" + "a" * 40)})
    monkeypatch.setattr(keys, "settings", lambda: usual)
    key = keys.check(each_catalogue, "fh_" + "a" * 40)
    assert list(key.scopes) == [key_pb2.SCOPE_ADMIN]
    with pytest.raises(Unauthenticated):
        keys.check(each_catalogue, "fh_" + "a" * 39)


def test_who_is_no_administrator_sees_and_makes_own_keys_alone(each_catalogue: Catalogue) -> None:
    mine, others = create(each_catalogue, "ann"), create(each_catalogue, "ben")
    token = access.CALLER.set(access.Caller("ann", False, mine.name))
    try:
        assert listed(each_catalogue, "ann") == [mine.name]
        for user in ("ben", "-"):
            with pytest.raises(PermissionDenied):
                listed(each_catalogue, user)
        with pytest.raises(NotFound):
            keys.revoke(each_catalogue, others.name)
        with pytest.raises(PermissionDenied):
            create(each_catalogue, "ben")
        with pytest.raises(PermissionDenied):
            create(each_catalogue, "ann", scopes=[key_pb2.SCOPE_ADMIN])
        assert create(each_catalogue, "ann", scopes=[key_pb2.SCOPE_READ]).name
    finally:
        access.CALLER.reset(token)

"""Who calls, and whether it may: the caller of the request that is being answered.

Where FRAMEHOUSE_AUTH asks for keys, the gateway checks them and sends who calls along, signed; services check the
signature and pass it on. Steps of jobs have no caller: what they do was allowed when their job was started.
"""

import base64
import hashlib
import hmac
import time
from contextvars import ContextVar
from typing import NamedTuple

import msgspec

from framehouse.loopback import is_loopback
from framehouse.runtime.config import settings
from framehouse.runtime.errors import NotFound, PermissionDenied, Unauthenticated

IDENTITY_METADATA = "x-framehouse-identity"
"""The metadata that says who calls. The gateway takes it from nobody."""
LIFE_SECONDS = 60
"""How long what the gateway has signed is worth something: it is used at once."""
LEAST_KEY_LETTERS = 32
"""Of the keys in the settings, which must not be guessed."""

_PURPOSE = b"framehouse identity 1\0"
_MAC_BYTES = 32


class Caller(NamedTuple):
    """Who holds the key that was shown."""

    user: str
    admin: bool
    key: str
    """`users/{user}/keys/{key}`."""
    can_write: bool = True
    concurrent_jobs: int = 0
    """Of its user at once; 0 for no limit."""
    stored_bytes: int = 0
    """Of its user; 0 for no limit."""


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Of the request being answered; none where nobody is asked who it is, which may do everything."""

IDENTITY: ContextVar[str] = ContextVar("identity", default="")
"""The same as it came, and is sent along with the calls that the request causes."""


# --- who it is


def sign(caller: Caller, until: int) -> str:
    """The caller as metadata, good until a time in seconds since 1970."""
    said = msgspec.msgpack.encode((until, caller))
    return base64.urlsafe_b64encode(said + _mac(said)).decode()


def verify(identity: str) -> Caller:
    """The caller in the metadata; `Unauthenticated` where it is not of our gateway, or too old."""
    try:
        signed = base64.urlsafe_b64decode(identity)
        said, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(said)):
            raise ValueError
        until, caller = msgspec.msgpack.decode(said, type=tuple[int, Caller])
        if until < time.time():
            raise ValueError
    except ValueError:
        raise Unauthenticated(
            f"the metadata {IDENTITY_METADATA} is not of our gateway", reason="IDENTITY_INVALID"
        ) from None
    return caller


def _mac(said: bytes) -> bytes:
    return hmac.digest(settings().identity_key.get_secret_value().encode(), _PURPOSE + said, hashlib.sha256)


def identify(identity: str, *, required: bool) -> None:
    """Makes who sent a request the caller of what is done from now on."""
    if settings().auth == "none":
        return
    if identity:
        CALLER.set(verify(identity))
        IDENTITY.set(identity)
    elif required:
        raise Unauthenticated(
            "nobody has said who calls; call the gateway, with authorization: Bearer KEY", reason="KEY_MISSING"
        )


def act_as(user: str) -> None:
    """Makes another user, without limits, the caller of what is done from now on, where there is a caller at all."""
    if (caller := CALLER.get()) is not None and user not in ("", caller.user):
        acting = Caller(user, False, caller.key)
        CALLER.set(acting)
        IDENTITY.set(sign(acting, int(time.time()) + LIFE_SECONDS))


def check_settings() -> None:
    """Ends a process that would serve strangers, or could not tell them apart; the text says what to set."""
    host, identity_key = settings().host, settings().identity_key.get_secret_value()
    if settings().auth == "none" and not is_loopback(host):
        raise SystemExit(
            f"FRAMEHOUSE_AUTH is none, which is for loopback only, and FRAMEHOUSE_HOST is {host}: everybody who reaches"
            " it could read and remove everything; set FRAMEHOUSE_AUTH=api_key, or FRAMEHOUSE_HOST=127.0.0.1"
        )
    if settings().auth == "api_key" and len(identity_key) < LEAST_KEY_LETTERS:
        raise SystemExit(
            f"FRAMEHOUSE_AUTH is api_key and FRAMEHOUSE_IDENTITY_KEY has {len(identity_key)} letters; "
            f"set it to the same random text of {LEAST_KEY_LETTERS} or more for all services"
        )
    if 0 < len(settings().admin_key.get_secret_value()) < LEAST_KEY_LETTERS:
        raise SystemExit(
            f"FRAMEHOUSE_ADMIN_KEY could be guessed; set it to random text of {LEAST_KEY_LETTERS} letters or more"
        )


# --- whether it may


def may_read(user: str, *, public: bool = False) -> bool:
    """Whether the caller may see what a user has."""
    caller = CALLER.get()
    return public or caller is None or caller.admin or caller.user == user


def check_read(user: str, kind: str, name: str, *, public: bool = False) -> None:
    """`NotFound` where the caller may not see it: what is another's does not exist."""
    if not may_read(user, public=public):
        raise NotFound(kind, name)


def check_write(user: str, kind: str, name: str, *, public: bool = False) -> None:
    """`NotFound` where the caller may not see it, `PermissionDenied` where it may see it only."""
    check_read(user, kind, name, public=public)
    if not may_read(user):
        raise PermissionDenied(
            f"{kind} {name!r} is another user's; clone it to change it", reason="NOT_THE_OWNER", facts={"name": name}
        )


def check_user(user: str) -> None:
    """`PermissionDenied` where the caller may not make something under a user's name."""
    if not may_read(user):
        caller = CALLER.get()
        own = caller.user if caller else ""
        raise PermissionDenied(
            f"the key is one of users/{own}, and users/{user} is another user", reason="NOT_THE_OWNER"
        )


def check_scope_write() -> None:
    """`PermissionDenied` where the caller's key is for reading only, in a method that such keys may call."""
    if (caller := CALLER.get()) is not None and not caller.can_write:
        raise PermissionDenied("the key may read, and this needs the scope write", reason="SCOPE_MISSING")


def owner() -> str:
    """The user to whom belongs what the caller makes; empty where nobody is asked who it is."""
    caller = CALLER.get()
    return caller.user if caller else ""

"""Who calls, and whether it may: the caller of the request that is being answered.

The gateway says who it is, where FRAMEHOUSE_AUTH asks for keys. Steps of jobs have no caller: what they do was allowed
when their job was started.
"""

from contextvars import ContextVar
from typing import NamedTuple

from framehouse.runtime.errors import NotFound, PermissionDenied


class Caller(NamedTuple):
    """Who holds the key that was shown."""

    user: str
    admin: bool
    key: str
    """`users/{user}/keys/{key}`."""


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Of the request being answered; none where nobody is asked who it is, which may do everything."""


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

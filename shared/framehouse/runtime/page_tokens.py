"""What page tokens carry, and back. Clients may send anything as one; what is read here is at least of a form that a
token can have. Whether it is of the same listing is for the listing to say.
"""

import base64
import json
from typing import Any

from framehouse.runtime.errors import InvalidArgument

LARGEST = 2**63 - 1


def token_of(values: list[Any]) -> str:
    """The token that carries texts and whole numbers."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def values_of(token: str) -> list[Any]:
    """The texts and whole numbers that a token was made of, as URL-safe base64 of a JSON list. `ValueError` where it
    was not; numbers are such that a database takes them, and so are texts.
    """
    try:
        values = json.loads(base64.b64decode(token.encode(), b"-_", validate=True))
    except RecursionError:
        raise ValueError("too many brackets") from None
    if not isinstance(values, list) or not all(map(_is_plain, values)):
        raise ValueError("not a list of texts and whole numbers")
    return values


def not_ours(other: str = "") -> InvalidArgument:
    """The error for a token that cannot be read, or that belongs to an `other` thing of the kind that is listed."""
    text = f"page_token is not one of ours{f', or of another {other}' if other else ''}; start again without it"
    return InvalidArgument(text, field="page_token")


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        value.encode()  # half of a surrogate pair is a ValueError
        return "\x00" not in value
    return value is None or (type(value) is int and -LARGEST <= value <= LARGEST)

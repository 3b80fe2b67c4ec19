"""What page tokens carry, read back. Clients may send anything as one; what is read here is at least of a form that a
token can have. Whether it is of the same listing is for the listing to say.
"""

import base64
import json
from typing import Any

LARGEST = 2**63 - 1


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


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        value.encode()  # half of a surrogate pair is a ValueError
        return "\x00" not in value
    return value is None or (type(value) is int and -LARGEST <= value <= LARGEST)

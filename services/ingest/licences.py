"""The licences that a dataset can have, and which of them bind what is made of it."""

from framehouse.runtime.errors import InvalidArgument

COPYLEFT = ("CC-BY-SA-4.0", "CC-BY-NC-SA-4.0", "AGPL-3.0", "GPL-3.0")
"""A clone has the same licence, for good."""
LICENCES = (
    "CC0-1.0",
    "CC-BY-2.5",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-NC-ND-4.0",
    "Apache-2.0",
    "MIT",
    "AGPL-3.0",
    "GPL-3.0",
    "Research-Only",
    "Other",
)
_KNOWN = {name.lower(): name for name in LICENCES}


def licence(text: str, field: str) -> str:
    """The licence as it is written, of one that is written in any case; empty for none."""
    if not text:
        return ""
    found = _KNOWN.get(text.lower())
    if found is None:
        raise InvalidArgument(
            f"{text!r} is no licence that is known; leave it empty for none, or use one of: {', '.join(LICENCES)}",
            reason="LICENSE_UNKNOWN",
            field=field,
        )
    return found

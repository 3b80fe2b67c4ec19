"""Whose certificates are believed: those of what `FRAMEHOUSE_CA`, a PEM file, names, beside what is known anyway."""

import os
import ssl
from pathlib import Path

from framehouse.client.errors import InvalidArgument

CA = "FRAMEHOUSE_CA"


def authority() -> bytes | None:
    """The certificates in the file; None where none is named."""
    if not (named := os.environ.get(CA)):
        return None
    try:
        found = Path(named).expanduser().read_bytes()
        ssl.create_default_context(cadata=found.decode())
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        why = error.strerror if isinstance(error, OSError) and error.filename else "it holds no certificate in PEM"
        raise InvalidArgument(f"{CA} names {named!r}, which cannot be used: {why}") from error
    return found


def https() -> ssl.SSLContext:
    """For HTTPS: what the system knows, and the authority of `FRAMEHOUSE_CA`."""
    context = ssl.create_default_context()
    if (own := authority()) is not None:
        context.load_verify_locations(cadata=own.decode())
    return context

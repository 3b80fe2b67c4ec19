"""The formats that there are: every module in `formats/` that defines FORMAT."""

import difflib
import importlib
import pkgutil
from functools import cache
from typing import TypeVar

from framehouse.runtime import errors
from services.conversion import formats
from services.conversion.format import Format, Readable

F = TypeVar("F", bound=Readable)


@cache
def all_formats() -> dict[str, Readable]:
    """All formats by id, in the order of their ids."""
    names = sorted(module.name for module in pkgutil.iter_modules(formats.__path__))
    found = [importlib.import_module(f"{formats.__name__}.{name}").FORMAT for name in names]
    return {item.id: item for item in sorted(found, key=lambda item: str(item.id))}


def written_formats() -> dict[str, Format]:
    """Those that are written."""
    return {name: item for name, item in all_formats().items() if isinstance(item, Format)}


def lookup(name: str, field: str = "format") -> Readable:
    """The format of an id or alias, in any case. InvalidArgument with near matches where there is none; `field` is
    where the request names it.
    """
    return _find(name, field, all_formats())


def lookup_written(name: str, field: str = "format") -> Format:
    """The same of a format to write: what one that is only read is called may be an alias of one that is written."""
    return _find(name, field, written_formats())


def _find(name: str, field: str, known: dict[str, F]) -> F:
    by_name = {alias: item for item in known.values() for alias in item.aliases} | known
    wanted = name.strip().lower()
    if wanted in by_name:
        return by_name[wanted]
    near = difflib.get_close_matches(wanted, by_name, 3, 0.5)
    hint = f"; did you mean {' or '.join(near)}? Known" if near else "; known"
    raise errors.InvalidArgument(
        f"there is no format {name!r}{hint} are: {', '.join(known)}",
        reason="FORMAT_UNKNOWN",
        field=field,
        facts={"format": name, "near": ", ".join(near), "known": ", ".join(known)},
    )

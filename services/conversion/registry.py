"""The formats that there are: every module in `formats/` that defines FORMAT."""

import difflib
import importlib
import pkgutil
from functools import cache

from framehouse.runtime import errors
from services.conversion import formats
from services.conversion.format import Format


@cache
def all_formats() -> dict[str, Format]:
    """All formats by id, in the order of their ids."""
    names = sorted(module.name for module in pkgutil.iter_modules(formats.__path__))
    found = [importlib.import_module(f"{formats.__name__}.{name}").FORMAT for name in names]
    return {item.id: item for item in sorted(found, key=lambda item: str(item.id))}


def lookup(name: str) -> Format:
    """The format of an id or alias, in any case. InvalidArgument with near matches where there is none."""
    known = all_formats()
    by_name = known | {alias: item for item in known.values() for alias in item.aliases}
    wanted = name.strip().lower()
    if wanted in by_name:
        return by_name[wanted]
    near = difflib.get_close_matches(wanted, by_name, 3, 0.5)
    hint = f"; did you mean {' or '.join(near)}? Known" if near else "; known"
    raise errors.InvalidArgument(
        f"there is no format {name!r}{hint} are: {', '.join(known)}",
        reason="FORMAT_UNKNOWN",
        field="format",
        facts={"format": name, "near": ", ".join(near), "known": ", ".join(known)},
    )

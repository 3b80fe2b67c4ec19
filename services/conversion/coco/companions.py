"""What COCO files say of a dataset beside its images, annotations and categories: `info` and `licenses`, united.

The files of one split, one a task, mostly say the same of both. Of what they say differently the first one is kept.
"""

from typing import Any

import msgspec

from framehouse.store.issues import INFO, IssueLog
from services.conversion.archive import Archive
from services.conversion.coco.files import COMPANIONS, File

NOTHING: tuple[Any, ...] = (None, "", [], {})
"""Values that say nothing."""


def read_companions(archive: Archive, files: list[File], issues: IssueLog) -> dict[str, dict[str, Any]]:
    """`info` and `licenses` of each split, by its name as spelled. What is lost of a file is told."""
    found: dict[str, dict[str, Any]] = {}
    first: dict[str, str] = {}
    for file in files:
        said = found.setdefault(file.split_name, {})
        differing = []
        for member in sorted(COMPANIONS & set(file.outline.members)):
            value = file.decode(archive.bucket, member, Any)
            said[member], others = _united(said.get(member), value)
            differing += [f"{member} {name}".rstrip() for name in others]
        if differing:
            text = f"{', '.join(differing)[:200]}: another than in {first[file.split_name]}, which is kept"
            remedy = "give the files of a split the same `info` and `licenses`"
            issues.add("INFO_DIFFERS", INFO, file.path, text, remedy)
        first.setdefault(file.split_name, file.path)
    return found


def _united(old: Any, new: Any) -> tuple[Any, list[str]]:
    """Both values together, and the names of what is said differently, empty where the whole is."""
    if old in NOTHING or new in NOTHING or old == new:
        return (new if old in NOTHING else old), []
    if isinstance(old, dict) and isinstance(new, dict):
        kept = {key: value for key, value in old.items() if value not in NOTHING}
        return {**old, **new, **kept}, [
            key for key in kept if new.get(key, "") not in NOTHING and new[key] != kept[key]
        ]
    if isinstance(old, list) and isinstance(new, list):
        known = {_id(one): one for one in old}
        added = {_id(one): one for one in new if _id(one) not in known}
        return [*old, *added.values()], [_id(one) for one in new if known.get(_id(one), one) != one]
    return old, [""]


def _id(one: Any) -> str:
    """What an element of a list is known by: its id, or all of it."""
    return msgspec.json.encode(one["id"] if isinstance(one, dict) and "id" in one else one).decode()

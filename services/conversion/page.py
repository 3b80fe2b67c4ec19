"""docs/formats.md, made from the declarations of the formats.

`python -m services.conversion.page` writes it, with `--check` it says whether it is as it should be.
"""

import sys
from pathlib import Path

from framehouse.annotations.schema import Flag, Kind
from services.conversion.format import Format, Readable
from services.conversion.options import described
from services.conversion.registry import all_formats

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"

CODES = {
    "KIND_UNSUPPORTED": ("the format does not hold such annotations; another kind is written, or nothing", "refuses"),
    "LABEL_MISSING": ("annotations without a class are left out", "refuses"),
    "FLAG_UNSUPPORTED, SCORE_…, ATTRIBUTES_…, GROUP_…, TRACK_…, Z_ORDER_UNSUPPORTED": (
        "annotations are written without it",
        "refuses",
    ),
    "NAME_CHANGED": ("images that would share a name, or a label file, are renamed", "refuses"),
    "IMAGE_MISSING": (
        "images without bytes are left out, of formats that have no label files to name them; where no other is left, "
        "the export is refused",
        "refuses",
    ),
    "OTHER_TASK": (
        "annotations of another task than that of the dataset, or the one asked for, are held back; the dataset keeps "
        "them",
        "refuses unless a task was asked for",
    ),
    "IMAGE_REENCODED": (
        "images whose pixels change, or may, since all are to be written in one format",
        "does not refuse",
    ),
}
"""Codes of what is lost, with what each says and what `--strict` does."""

HEAD = """# Formats

This page is made from the formats' own declarations by `make docs`; `framehouse formats ID` says the same.

What a format cannot hold is told before anything is written (`framehouse export NAME --to FORMAT --dry-run` stops
there), and what is done instead stands under "written instead". `--strict` refuses a loss.

{CODES}

Others are a format's own, and say what they mean. Changes of classes and the choice of images and classes are no
losses: they are what was asked for.

## Images in one format

Images that are not in the format that is asked for are decoded, turned upright as their EXIF data says, and encoded
anew without such data, since coordinates are of the upright image; those that are in it are copied byte for byte. All
get the extension of the format. PNG and TIFF are lossless and keep 16 bits and transparency; WebP is lossless with 8
bits; BMP has 8 bits and no transparency; JPEG has quality 95, 8 bits and no transparency. Of 16 bits the upper 8 are
kept. Images of several frames become their first.
"""


def page() -> str:
    """The whole page."""
    formats = all_formats().values()
    rows = [f"| [`{one.id}`](#{one.id}) | {one.title} | {_kinds(one)} |" for one in formats]
    table = "\n".join(("| id | title | holds |", "|---|---|---|", *rows))
    codes = "\n".join(
        (
            "| code | what it says | `--strict` |",
            "|---|---|---|",
            *(f"| `{code}` | {text} | {strict} |" for code, (text, strict) in CODES.items()),
        )
    )
    return "\n".join((HEAD.replace("{CODES}", codes), table, *(_section(one) for one in formats)))


def _section(one: Readable) -> str:
    title = f"{one.title}." + (f" Also called {_listed(one.aliases)}." if one.aliases else "")
    lines = [f"\n## {one.id}\n", title if isinstance(one, Format) else f"{title} It is only read.", ""]
    holds = one.holds
    facts = {
        "Kinds": _kinds(one),
        "Attributes of annotations": _yes(holds.attributes),
        "Flags": ", ".join(flag.name.lower() for flag in Flag if flag in _flags(one) and flag.name) or "none",
        "Scores": _yes(holds.score),
        "Tracks": _yes(holds.tracks),
        "Groups": _yes(holds.groups),
        "Splits": ", ".join(sorted(holds.splits)) or "any",
    }
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    if holds.fallbacks:
        lines += ["", "| kind | written instead |", "|---|---|"]
        lines += [f"| {_name(kind)} | {text} |" for kind, text in sorted(holds.fallbacks.items())]
    if one.layout:
        lines += ["", "```", one.layout.strip("\n"), "```"]
    if one.notes:
        lines += ["", *(f"- {note}" for note in one.notes)]
    if one.options:
        lines += ["", "| option | what it does |", "|---|---|"]
        lines += [f"| `{option.field.partition('.')[2]}` | {option.description} |" for option in described(one)]
    return "\n".join(lines) + "\n"


def _flags(one: Readable) -> set[Flag]:
    return {*one.holds.flags, *({Flag.CROWD} if one.holds.crowd else ())}


def _kinds(one: Readable) -> str:
    return ", ".join(_name(kind) for kind in sorted(one.holds.kinds)) or "images alone"


def _name(kind: Kind) -> str:
    return kind.name.lower().replace("_", " ")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _yes(value: bool) -> str:
    return "kept" if value else "not kept"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif not PAGE.exists() or PAGE.read_text() != page():
        sys.exit("docs/formats.md is not as the formats declare it; run `make docs`")

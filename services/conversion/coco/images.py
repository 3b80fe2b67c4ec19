"""COCO's image records: read into the columns of a plan and found in the archive, and written again.

A record is split into its known fields; those that an image of ours has no place for (`license`, `coco_url`, fields of
other tools) are kept as JSON text in the column `source`, after the id.
"""

import posixpath
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers
from framehouse.annotations.splits import known_split
from framehouse.runtime import errors
from framehouse.store.bucket import Bucket
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from services.conversion import columns, layout
from services.conversion.archive import Archive
from services.conversion.coco.files import TOOL, File
from services.conversion.columns import report
from services.conversion.json_files import decoded, invalid
from services.conversion.json_problems import UNREADABLE, is_text

LABEL_FOLDERS = r"(?i)(^|/)(panoptic|stuff)_[^/]*/(.*/)?[^/]+\.png$"
"""PNG files whose pixels are labels."""
KEPT = ("license", "flickr_url", "coco_url", "date_captured")

Raw = msgspec.Raw


class Record(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An image as COCO itself writes it; what is only kept stays text."""

    id: int | str
    file_name: str
    width: int | float | None = None
    height: int | float | None = None
    license: Raw = Raw()
    flickr_url: Raw = Raw()
    coco_url: Raw = Raw()
    date_captured: Raw = Raw()


RECORDS = msgspec.json.Decoder(list[Record])


class Records(NamedTuple):
    """The images of a file, in columns."""

    ids: pa.Array
    """Numbers, or all of them texts."""
    names: pa.Array
    """As `layout.tidy` leaves them."""
    width: pa.Array
    height: pa.Array
    source: pa.Array


class Images(NamedTuple):
    """The plan's images in order, and what each file calls them."""

    table: pa.Table
    lookups: list[tuple[pa.Array, Integers]]
    """For each file the ids of its images with their rows."""


def read_images(archive: Archive, files: list[File], labels: Integers, issues: IssueLog) -> Images:
    """The images of all files and those of the archive that no file names; files at the rows `labels` are none."""
    paths = archive.paths
    image_rows = np.setdiff1d(archive.images(), labels)
    is_label = pc.match_substring_regex(paths.take(pa.array(image_rows)), LABEL_FOLDERS)
    image_rows = image_rows[~is_label.to_numpy(zero_copy_only=False)]
    entries = paths.take(pa.array(image_rows))
    records = [_records(archive.bucket, file, issues) for file in files]
    for file, items in zip(files, records, strict=True):
        _tell_repeated(items, file.path, issues)
    names = [items.names for items in records]
    found = _find(files, names, entries)
    sizes = [len(wanted) for wanted in names]
    total = sum(sizes)
    if not total and not len(entries):
        raise errors.InvalidArgument(
            f"{files[0].path} names no images, and the archive holds none", reason="IMAGES_MISSING"
        )
    if total and len(entries) and not any((at >= 0).any() for at in found):
        there, named = ", ".join(entries[:3].to_pylist()), next(wanted for wanted in names if len(wanted))[0]
        raise errors.InvalidArgument(
            f"none of {total:,} images that {files[0].path} names is in the archive: it names {named}, and the "
            f"archive has {there}; pack the images under the names that the file has",
            reason="IMAGES_UNMATCHED",
        )

    def of_files(values: Iterable[str]) -> pa.Array:
        return _concat((pa.repeat(value, size) for value, size in zip(values, sizes, strict=True)), pa.string())

    table = pa.table(
        {
            "name": _concat(names, pa.string()),
            "at": np.concatenate([*found, np.zeros(0, np.int64)]),
            "split": of_files(file.split for file in files),
            "split_name": of_files(file.split_name for file in files),
            "file_path": of_files(file.path for file in files),
            "width": _concat((items.width for items in records), pa.int32()),
            "height": _concat((items.height for items in records), pa.int32()),
            "source": _concat((items.source for items in records), pa.string()),
        }
    )
    # The same image in two files of one split is one image.
    same = pc.binary_join_element_wise(table["split"], table["name"], "\0").combine_chunks().dictionary_encode()
    member = same.indices.to_numpy()
    _, first = np.unique(member, return_index=True)
    if len(first) < total:
        table = table.take(pa.array(first))
    _tell_missing(table, len(entries), issues)
    table = pa.concat_tables([table.drop_columns("file_path"), _unlisted(entries, table["at"].to_numpy(), issues)])
    at = table["at"].to_numpy()
    rows = np.where(at >= 0, image_rows[np.maximum(at, 0)] if len(image_rows) else -1, -1)
    whole = pc.if_else(pa.array(at < 0), None, entries.take(pa.array(np.maximum(at, 0)))) if len(entries) else None
    whole = pa.nulls(len(at), pa.string()) if whole is None else whole
    given = {name: table[name].combine_chunks() for name in ("split", "split_name", "width", "height", "source")}
    given["path"] = layout.identities(table["name"].combine_chunks(), given["split"], whole)
    plan = layout.plan_table(archive, rows, given | {"place": pa.array(np.arange(len(at)))})
    plan = layout.in_archive_order(plan)
    row_of = np.empty(len(at), np.int64)
    row_of[plan["place"].to_numpy()] = np.arange(len(at))
    bounds = np.cumsum([0, *sizes]).tolist()
    lookups = [
        (items.ids, row_of[member[begin:end]])
        for items, begin, end in zip(records, bounds[:-1], bounds[1:], strict=True)
    ]
    return Images(plan.drop_columns("place"), lookups)


def _records(bucket: Bucket, file: File, issues: IssueLog) -> Records:
    """The images of a file that have an id and a name."""
    data, line = file.fetch(bucket, "images")
    if not is_text(data):
        raise invalid(file.path, line, "in `images`: it is no UTF-8 text; save it as UTF-8", TOOL)
    try:
        records = RECORDS.decode(data)
    except UNREADABLE:
        return _loose_records(data, line, file.path, issues)
    names = _names([record.file_name for record in records])
    if not _usable(names).all():
        return _loose_records(data, line, file.path, issues)
    ids = id_array([record.id for record in records])
    kept = [_member(field, [bytes(getattr(record, field)) for record in records]) for field in KEPT]
    rest = pc.binary_join_element_wise(*kept, "")
    width, height = (_sizes([getattr(record, field) for record in records]) for field in ("width", "height"))
    return Records(ids, names, width, height, _source(ids, [record.id for record in records], rest))


def _loose_records(data: bytes, line: int, path: str, issues: IssueLog) -> Records:
    """The same of records with other fields, or with some that are no images; those are told."""
    items = decoded(data, list[Any], path, line, "images", TOOL)
    good = []
    for item in items:
        named = isinstance(item, dict) and isinstance(item.get("id"), int | str) and item.get("file_name")
        if isinstance(named, str) and named.strip("./\\ "):
            good.append(item)
        else:
            text = f"an image has no id or no file_name: {msgspec.json.encode(item).decode()[:80]}"
            issues.add("IMAGE_INVALID", ERROR, path, text, "give each image an id and a file_name")
    ids = [item["id"] for item in good]
    mapped = ("id", "file_name", "width", "height")
    more = [{key: value for key, value in item.items() if key not in mapped} for item in good]
    rest = ["," + msgspec.json.encode(fields)[1:-1].decode() if fields else "" for fields in more]
    width, height = (_sizes([item.get(field) for item in good]) for field in ("width", "height"))
    known = id_array(ids)
    names = _names([item["file_name"] for item in good])
    return Records(known, names, width, height, _source(known, ids, pa.array(rest, pa.string())))


def _tell_repeated(items: Records, path: str, issues: IssueLog) -> None:
    """Says which images have the id of another one before, whose annotations all are then."""
    if len(pc.unique(items.ids)) == len(items.ids):
        return
    first = pc.index_in(items.ids, items.ids).to_numpy()
    other = np.array(pc.not_equal(items.names, items.names.take(pa.array(first))))
    for i in np.flatnonzero(other).tolist():
        was, name = (items.names[k].as_py() for k in (int(first[i]), i))
        text = f"image {name} has the id {items.ids[i]}, which {was} has before; its annotations were taken as of that"
        issues.add("IMAGE_REPEATED", ERROR, path, text, "give each image an id of its own")


def _names(names: list[str]) -> pa.Array:
    return layout.tidy(pa.array(names, pa.string()))


def _usable(names: pa.Array) -> NDArray[np.bool_]:
    usable: NDArray[np.bool_] = pc.match_substring_regex(names, r"[^./\\ ]").to_numpy(zero_copy_only=False)
    return usable


def _member(field: str, texts: list[bytes]) -> pa.Array:
    """`,"field":value` of each record that has one, empty for the others."""
    values = pa.array([text or None for text in texts], pa.binary()).cast(pa.string())
    return pc.fill_null(pc.binary_join_element_wise(f',"{field}":', values, ""), "")


def _sizes(values: list[Any]) -> pa.Array:
    """Whole pixels, null for what is no size."""
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError):
        numbers = np.array([value if isinstance(value, int | float) else np.nan for value in values], np.float64)
    with np.errstate(invalid="ignore"):
        good = (numbers > 0) & (numbers < 1 << 31)
    return pa.array(np.where(good, numbers, 0).astype(np.int32), mask=~good)


def _source(ids: pa.Array, given: list[Any], rest: pa.Array) -> pa.Array:
    """What a record says besides name and size (`rest`, after a comma); its id comes first, for `image_ids` to find."""
    texts = (
        columns.text(ids)
        if pa.types.is_integer(ids.type)
        else pa.array([msgspec.json.encode(value).decode() for value in given], pa.string())
    )
    return pc.binary_join_element_wise('{"coco":{"id":', texts, rest, "}}", "")


def image_ids(source: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The ids that COCO files gave to images (int64, null for none), and the rest of their records, as JSON members."""
    pattern = r'(?s)^\{"coco":\{"id":(?P<id>-?\d{1,18}|"[^"]*")(?:,(?P<rest>.*))?\}\}$'
    found = pc.extract_regex(source, pattern)
    number, rest = pc.struct_field(found, "id"), pc.struct_field(found, "rest")
    numeric = pc.invert(pc.starts_with(number, '"'))
    ids = pc.cast(pc.if_else(numeric, number, None), pa.int64())
    return ids, pc.fill_null(rest, "")


def id_array(values: list[Any]) -> pa.Array:
    """Ids as numbers, or all of them as text where one is."""
    try:
        return pa.array(values, pa.int64())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([str(value) for value in values], pa.string())


def _find(files: list[File], names: list[pa.Array], entries: pa.Array) -> list[Integers]:
    """Position in `entries` of each image of each file, -1 for none: where it should be, before anywhere else."""
    found = [np.full(len(wanted), -1) for wanted in names]
    if not len(entries):
        return found
    for file, wanted, at in zip(files, names, found, strict=True):
        layout.look_up(at, wanted, entries, _folders(file))
    free = np.setdiff1d(np.arange(len(entries)), np.concatenate([*found, np.zeros(0, np.int64)]))
    left = entries.take(pa.array(free))
    for wanted, at in zip(names, found, strict=True):
        missing = np.flatnonzero(at < 0)
        if len(missing) and len(left):
            again = layout.find(wanted.take(pa.array(missing)), left, [])
            at[missing] = np.where(again >= 0, free[np.maximum(again, 0)], -1)
    return found


def _folders(file: File) -> list[str]:
    here = posixpath.dirname(file.path)
    top = posixpath.dirname(here) if posixpath.basename(here).lower() in ("annotations", "labels") else here
    spelled = dict.fromkeys(
        name for name in (file.split_name, file.split, re.sub(r"\d+$", "", file.split_name)) if name
    )
    inside = [
        posixpath.join(top, *parts) for name in spelled for parts in (("images", name), (name, "images"), (name,))
    ]
    if not spelled:
        inside.append(posixpath.join(top, "images", "default"))
    plain = [here, posixpath.join(here, "images"), posixpath.join(top, "images"), top, posixpath.join(top, "data")]
    return list(dict.fromkeys([*inside, *plain]))


def _tell_missing(images: pa.Table, entries: int, issues: IssueLog) -> None:
    absent = images.filter(pc.less(images["at"], 0))
    if not absent.num_rows:
        return
    if not entries:
        text = f"the archive holds labels only; {absent.num_rows:,} images are kept without bytes"
        issues.add("IMAGES_ABSENT", INFO, images["file_path"][0].as_py(), text, "add the images to the archive")
        return
    names = pc.binary_join_element_wise("the archive does not hold image ", absent["name"], "; its labels are kept", "")
    paths = absent["file_path"].combine_chunks()
    lines = np.zeros(len(paths), np.int64)
    report(issues, "IMAGE_MISSING", WARNING, paths, lines, names.to_pylist(), "add the image to the archive")


def _unlisted(entries: pa.Array, taken: Integers, issues: IssueLog) -> pa.Table:
    """Images of the archive that no file names, as rows of their own."""
    rest = np.setdiff1d(np.arange(len(entries)), taken)
    files = entries.take(pa.array(rest))
    among = pc.match_substring_regex(files, r"(?i)(^|/)annotations/").to_numpy(zero_copy_only=False)
    rest, files = rest[~among], files.filter(pa.array(~among))
    names, folders = layout.below_split(files)
    text = "no JSON file names this image; it is kept without annotations"
    lines = np.zeros(len(files), np.int64)
    report(issues, "IMAGE_NOT_LISTED", INFO, files, lines, text, "add it to `images` of its split's file")
    return pa.table(
        {
            "name": names,
            "at": rest,
            "split": pa.array([known_split(folder) for folder in folders], pa.string()),
            "split_name": pa.array(folders, pa.string()),
            "width": pa.nulls(len(rest), pa.int32()),
            "height": pa.nulls(len(rest), pa.int32()),
            "source": pa.nulls(len(rest), pa.string()),
        }
    )


def _concat(arrays: Iterable[pa.Array], kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays([pa.array([], kind), *(array.cast(kind) for array in arrays)])


def image_texts(images: pa.Table) -> pa.Array:
    """The records of the images of a write plan."""
    _, rest = image_ids(images["source"].combine_chunks())
    names = pa.array([msgspec.json.encode(name).decode() for name in images["name"].to_pylist()], pa.string())
    size = [pc.fill_null(images[name].combine_chunks(), 0) for name in ("width", "height")]
    width, height = map(columns.text, size)
    extra = pc.if_else(pc.equal(rest, ""), "", pc.binary_join_element_wise(",", rest, ""))
    number = columns.text(images["number"].combine_chunks())
    fields = ('{"id":', number, ',"width":', width, ',"height":', height, ',"file_name":', names, extra, "}")
    return pc.binary_join_element_wise(*fields, "")

"""What the COCO tasks have in common: finding the JSON files, their images, categories and parts.

A file of any size is unpacked, outlined and cut in one pass (`json_outline`); images and categories are decoded while
planning, annotations by the steps that read the parts. Ids of images and categories may be sparse, zero or text: each
part gets a lookup, an Arrow file beside it, from ids to rows of the plan and to labels.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers
from framehouse.annotations.plan import Part
from framehouse.annotations.splits import canonical_split, known_split
from framehouse.runtime import errors
from framehouse.runtime.jobs import report as progress
from framehouse.store.bucket import Bucket
from framehouse.store.frames import BatchFile, write_batches
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from framehouse.v1.annotation_pb2 import KeypointEdge, Label, LabelSchema
from services.conversion import layout
from services.conversion.archive import Archive
from services.conversion.columns import report
from services.conversion.format import Candidate, ReadPlan
from services.conversion.json_outline import Malformed, Outline, Span, error_line

PART_BYTES = 16 << 20
"""Of JSON that one step reads; it takes some ten times as much memory."""
BEGINNING = 64 << 10
"""Bytes of a file that are looked at to tell what it is."""
MAX_FILES = 64
"""JSON files that are looked at, the largest first."""

TASKS = ("instances", "person_keypoints", "captions", "panoptic", "stuff", "image_info", "labels")
MEMBERS = {"images", "annotations", "categories"}
COMPANIONS = {"info", "licenses"}
CATEGORIES_KEY = b"framehouse.categories"


class Detail(msgspec.Struct, frozen=True):
    """What a part says besides where it lies."""

    lookup: str
    """Key of its lookup."""
    line: int
    """Line of the file that it begins in."""


@dataclass
class File:
    """One JSON file."""

    path: str
    split: str
    split_name: str
    key: str
    """Object that its unpacked bytes lie in."""
    offset: int
    outline: Outline
    categories: dict[int | str, int] = field(default_factory=dict)
    """Label of each category id."""

    def fetch(self, bucket: Bucket, name: str) -> tuple[bytes, int]:
        """The bytes of a member, `[]` where it is absent, and the line that it begins in."""
        span = self.outline.members.get(name)
        if span is None:
            return b"[]", 1
        return bucket.get_range(self.key, self.offset + span.start, span.end - span.start), span.line

    def decode(self, bucket: Bucket, name: str) -> list[Any]:
        """A member that is a list. InvalidArgument with file and line."""
        data, line = self.fetch(bucket, name)
        try:
            return msgspec.json.decode(data, type=list[Any])
        except msgspec.DecodeError as error:
            raise invalid(self.path, error_line(data, line, error), f"in `{name}`: {error}") from error


def invalid(path: str, line: int, what: str) -> errors.InvalidArgument:
    """The error that a file is no valid JSON."""
    return errors.InvalidArgument(
        f"{path}, line {line}: this is no valid COCO file ({what}); export or download it again",
        reason="JSON_INVALID",
        facts={"file": path, "line": str(line)},
    )


def task_of(path: str) -> str:
    """The task that a file's name begins with; empty where it says none."""
    name = posixpath.basename(path).lower()
    return next((task for task in TASKS if name.startswith(task + "_")), "")


def split_of(path: str) -> tuple[str, str]:
    """(split, as spelled) that a file's name or folder says: `instances_val2017.json` gives val, val2017."""
    stem = posixpath.basename(path).rsplit(".", 1)[0]
    folder = posixpath.basename(posixpath.dirname(path))
    if task := task_of(path):
        spelled = stem[len(task) + 1 :]
        return (canonical_split(spelled), spelled) if spelled.lower() != "default" else ("", "")
    for word in [*re.split(r"[-_.\s]", stem), folder]:
        if split := known_split(word):
            return split, word
    return "", ""


def likely_files(archive: Archive) -> list[tuple[int, float, str]]:
    """JSON files that begin as COCO's do: (row, how sure from 0 to 1, why)."""
    rows = archive.with_extension("json")
    sizes = archive.entries["size"].to_numpy()[rows]
    found = []
    for row in rows[np.argsort(-sizes, kind="stable")][:MAX_FILES].tolist():
        outline = Outline()
        data = archive.beginning(row, BEGINNING)
        try:
            outline.feed(data)
            keys = outline.keys
        except Malformed:
            # Broken, but perhaps ours: then planning says where.
            keys = [key.decode() for key in re.findall(rb'"(\w+)"\s*:\s*[\[{]', data)]
        seen, others = MEMBERS & set(keys), COMPANIONS & set(keys)
        named = ", ".join(key for key in dict.fromkeys(keys) if key in MEMBERS | COMPANIONS)
        typical = b'"file_name"' in data or (b'"image_id"' in data and b'"category_id"' in data)
        if seen == MEMBERS or (seen and (others or task_of(archive.path(row))) and typical):
            found.append((row, 0.95, f"{archive.path(row)} has {named}"))
        elif seen and typical:
            found.append((row, 0.8, f"{archive.path(row)} has {named}"))
        elif seen or others:
            found.append((row, 0.3, f"{archive.path(row)} begins with {named}"))
    return found


def detect(archive: Archive, task: str) -> Candidate | None:
    """A JSON file with images, annotations and categories, of a task or without a name for one."""
    best: Candidate | None = None
    for row, sure, why in likely_files(archive):
        other = task_of(archive.path(row)) not in ("", task)
        confidence = min(sure, 0.3) if other else sure
        if best is None or confidence > best.confidence:
            best = Candidate(confidence, why)
    return best


def plan(archive: Archive, task: str, issues: IssueLog) -> ReadPlan:
    """Finds files, images, categories and parts. InvalidArgument where there is no such file or one is no JSON."""
    files = _files(archive, task, issues)
    labels = _labels(archive, files, issues)
    images, lookups = _images(archive, files, issues)
    parts = []
    for n, (file, (ids, rows)) in enumerate(zip(files, lookups, strict=True)):
        key = f"{archive.scratch.rstrip('/')}/lookup-{n}"
        _write_lookup(archive.bucket, key, ids, rows, file.categories)
        for span in file.outline.parts("annotations", PART_BYTES):
            if span.end - span.start > 2:
                detail = msgspec.json.encode(Detail(key, span.line)).decode()
                parts.append(Part(file.path, file.key, file.offset + span.start, span.end - span.start, detail))
    return ReadPlan(images, labels, parts)


def _files(archive: Archive, task: str, issues: IssueLog) -> list[File]:
    likely = sorted(row for row, _, _ in likely_files(archive))
    mine = [row for row in likely if task_of(archive.path(row)) in ("", task)]
    # A dataset that has only files of other tasks is read as far as this one goes.
    chosen = mine or likely
    for row in set(likely) - set(chosen):
        text = f"this file is of another task than {task}; it was not read"
        issues.add("FILE_OF_OTHER_TASK", INFO, archive.path(row), text, "import it as the format of its task")
    files = []
    for n, row in enumerate(chosen):
        file = _outline(archive, row, n)
        if set(file.outline.members) >= MEMBERS:
            files.append(file)
        elif MEMBERS & set(file.outline.members):
            missing = ", ".join(sorted(MEMBERS - set(file.outline.members)))
            text = f"the file has no {missing}; it was not read"
            issues.add(
                "FILE_INCOMPLETE", WARNING, file.path, text, "a COCO file has images, annotations and categories"
            )
    if not files:
        names = ", ".join(archive.path(row) for row in archive.with_extension("json")[:5].tolist()) or "no JSON file"
        raise errors.InvalidArgument(
            f"no JSON file with images, annotations and categories was found (there is {names}); a COCO dataset has "
            "`annotations/instances_<split>.json`",
            reason="COCO_FILE_MISSING",
        )
    return files


def _outline(archive: Archive, row: int, n: int) -> File:
    """Outlines a file in one pass; a packed one is unpacked beside, so that its parts can be fetched."""
    path = archive.path(row)
    split, spelled = split_of(path)
    outline = Outline()
    key, offset, _ = archive.locate(row)
    packed = archive.entries["method"][row].as_py() != 0
    try:
        if packed:
            key, offset = f"{archive.scratch.rstrip('/')}/labels-{n}.json", 0
            with archive.bucket.writer(key) as writer:
                for chunk in archive.stream(row):
                    outline.feed(chunk)
                    writer.write(chunk)
                    progress(outline.position)
        else:
            for chunk in archive.stream(row):
                outline.feed(chunk)
                progress(outline.position)
        outline.close()
    except Malformed as error:
        raise invalid(path, error.line, str(error)) from error
    return File(path, split, spelled, key, offset, outline)


def _labels(archive: Archive, files: list[File], issues: IssueLog) -> LabelSchema:
    """Categories of all files, merged by name; those of one name in one file are kept apart."""
    labels: dict[str, Label] = {}
    position: dict[str, int] = {}
    source: dict[str, Any] = {}
    for file in files:
        used: set[str] = set()
        for category in file.decode(archive.bucket, "categories"):
            if not isinstance(category, dict) or not isinstance(category.get("id"), int | str):
                text = f"a category has no id: {msgspec.json.encode(category).decode()[:80]}"
                issues.add("CATEGORY_INVALID", ERROR, file.path, text, "give each category an id and a name")
                continue
            number = category["id"]
            name = str(category.get("name") or f"category_{number}")
            if name in used:
                text = f"category {number} is called {name} as another is; it became {name} ({number})"
                issues.add("CLASS_NAME_REPEATED", WARNING, file.path, text, "give each category a name of its own")
                name = f"{name} ({number})"
            used.add(name)
            position.setdefault(name, len(position))
            labels.setdefault(name, _label(name, category))
            file.categories[number] = position[name]
        kept = {}
        for member in sorted(COMPANIONS & set(file.outline.members)):
            data, line = file.fetch(archive.bucket, member)
            try:
                kept[member] = msgspec.json.decode(data)
            except msgspec.DecodeError as error:
                raise invalid(file.path, error_line(data, line, error), f"in `{member}`: {error}") from error
        source.setdefault(file.split_name, kept)
    return LabelSchema(labels=labels.values(), source=msgspec.json.encode({"coco": source}).decode())


def _label(name: str, category: dict[str, Any]) -> Label:
    number, parent, color = category["id"], category.get("supercategory"), category.get("color")
    label = Label(name=name, parent=str(parent) if parent else "")
    if isinstance(number, int):
        label.source_id = number
    if isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        label.color = color.lower()
    keypoints, skeleton = category.get("keypoints"), category.get("skeleton")
    if isinstance(keypoints, list) and isinstance(skeleton, list | None):
        label.keypoints.extend(str(point) for point in keypoints)
        for edge in skeleton or []:
            if isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, int) for end in edge):
                label.edges.append(KeypointEdge(**{"from": edge[0] - 1, "to": edge[1] - 1}))
    return label


def _images(archive: Archive, files: list[File], issues: IssueLog) -> tuple[pa.Table, list[tuple[pa.Array, Integers]]]:
    """The plan's images, in order; and for each file the ids of its images with their rows."""
    image_rows = archive.images()
    entries = archive.paths.take(pa.array(image_rows))
    records = [_records(archive.bucket, file, issues) for file in files]
    names = [layout.tidy(pa.array([item["file_name"] for item in items], pa.string())) for items in records]
    found = _find(files, names, entries)
    total = sum(map(len, names))
    if not total and not len(entries):
        raise errors.InvalidArgument(
            f"{files[0].path} names no images, and the archive holds none", reason="IMAGES_MISSING"
        )
    if total and len(entries) and not any((at >= 0).any() for at in found):
        there = ", ".join(entries[:3].to_pylist())
        raise errors.InvalidArgument(
            f"none of {total:,} images that {files[0].path} names is in the archive: it names {names[0][0]}, and the "
            f"archive has {there}; pack the images under the names that the file has",
            reason="IMAGES_UNMATCHED",
        )
    columns = pa.table(
        {
            "name": _concat(names, pa.string()),
            "at": np.concatenate([*found, np.zeros(0, np.int64)]),
            "split": _concat(
                (pa.repeat(file.split, len(items)) for file, items in zip(files, records, strict=True)), pa.string()
            ),
            "split_name": _concat(
                (pa.repeat(file.split_name, len(items)) for file, items in zip(files, records, strict=True)),
                pa.string(),
            ),
            "file_path": _concat(
                (pa.repeat(file.path, len(items)) for file, items in zip(files, records, strict=True)), pa.string()
            ),
            "width": pa.array([_size(item.get("width")) for items in records for item in items], pa.int32()),
            "height": pa.array([_size(item.get("height")) for items in records for item in items], pa.int32()),
            "source": pa.array([_source(item) for items in records for item in items], pa.string()),
        }
    )
    # The same image in two files of one split is one image.
    same = pc.binary_join_element_wise(columns["split"], columns["name"], "\0").combine_chunks().dictionary_encode()
    member = same.indices.to_numpy()
    _, first = np.unique(member, return_index=True)
    columns = columns.take(pa.array(first))
    _tell_missing(columns, len(entries), issues)
    columns = pa.concat_tables(
        [columns.drop_columns("file_path"), _unlisted(entries, columns["at"].to_numpy(), issues)]
    )
    at = columns["at"].to_numpy()
    rows = np.where(at >= 0, image_rows[np.maximum(at, 0)] if len(image_rows) else -1, -1)
    whole = pc.if_else(pa.array(at < 0), None, entries.take(pa.array(np.maximum(at, 0)))) if len(entries) else None
    whole = pa.nulls(len(at), pa.string()) if whole is None else whole
    given = {name: columns[name].combine_chunks() for name in ("split", "split_name", "width", "height", "source")}
    given["path"] = layout.identities(columns["name"].combine_chunks(), given["split"], whole)
    table = layout.plan_table(archive, rows, given | {"place": pa.array(np.arange(len(at)))})
    table = layout.in_archive_order(table)
    row_of = np.empty(len(at), np.int64)
    row_of[table["place"].to_numpy()] = np.arange(len(at))
    bounds = np.cumsum([0, *map(len, names)])
    lookups = [
        (_ids([item["id"] for item in items]), row_of[member[begin:end]])
        for items, begin, end in zip(records, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    return table.drop_columns("place"), lookups


def _records(bucket: Bucket, file: File, issues: IssueLog) -> list[dict[str, Any]]:
    """The images of a file that have an id and a name."""
    items = file.decode(bucket, "images")
    good = [
        item
        for item in items
        if isinstance(item, dict)
        and isinstance(item.get("id"), int | str)
        and isinstance(item.get("file_name"), str)
        and item["file_name"].strip("./\\ ")
    ]
    if len(good) < len(items):
        kept = set(map(id, good))
        for item in items:
            if id(item) not in kept:
                text = f"an image has no id or no file_name: {msgspec.json.encode(item).decode()[:80]}"
                issues.add("IMAGE_INVALID", ERROR, file.path, text, "give each image an id and a file_name")
    return good


def _find(files: list[File], names: list[pa.Array], entries: pa.Array) -> list[Integers]:
    """Position in `entries` of each image of each file, -1 for none: where it should be, before anywhere else."""
    found = [np.full(len(wanted), -1) for wanted in names]
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


def _tell_missing(columns: pa.Table, entries: int, issues: IssueLog) -> None:
    absent = columns.filter(pc.less(columns["at"], 0))
    if not absent.num_rows:
        return
    if not entries:
        text = f"the archive holds labels only; {absent.num_rows:,} images are kept without bytes"
        issues.add("IMAGES_ABSENT", INFO, columns["file_path"][0].as_py(), text, "add the images to the archive")
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


def _size(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 < value < 1 << 31 else None


def _source(item: dict[str, Any]) -> str:
    """What a record says besides name and size; its id comes first, for `image_ids` to find."""
    rest = {key: value for key, value in item.items() if key not in ("id", "file_name", "width", "height")}
    return msgspec.json.encode({"coco": {"id": item["id"], **rest}}).decode()


def image_ids(source: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The ids that COCO files gave to images (int64, null for none), and the rest of their records, as JSON members."""
    pattern = r'^\{"coco":\{"id":(?P<id>-?\d{1,18}|"[^"]*")(?:,(?P<rest>.*))?\}\}$'
    found = pc.extract_regex(source, pattern)
    number, rest = pc.struct_field(found, "id"), pc.struct_field(found, "rest")
    numeric = pc.invert(pc.starts_with(number, '"'))
    ids = pc.cast(pc.if_else(numeric, number, None), pa.int64())
    return ids, pc.fill_null(rest, "")


def _ids(values: list[Any]) -> pa.Array:
    """Ids as numbers, or all of them as text where one is."""
    try:
        return pa.array(values, pa.int64())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([str(value) for value in values], pa.string())


def _concat(arrays: Iterable[pa.Array], kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays([pa.array([], kind), *(array.cast(kind) for array in arrays)])


def _write_lookup(bucket: Bucket, key: str, ids: pa.Array, rows: Integers, categories: dict[int | str, int]) -> None:
    known = msgspec.json.encode([list(categories), list(categories.values())])
    schema = pa.schema([pa.field("id", ids.type), pa.field("row", pa.int64())], {CATEGORIES_KEY: known})
    write_batches(bucket, key, schema, [pa.record_batch([ids, pa.array(rows)], schema=schema)])


@dataclass(frozen=True)
class Lookup:
    """From ids to rows of the plan, and to labels."""

    ids: pa.Array
    rows: Integers
    categories: pa.Array
    labels: Integers

    def images(self, ids: list[Any]) -> Integers:
        """Row of each image id, -1 for none."""
        return _translate(ids, self.ids, self.rows)

    def classes(self, ids: list[Any]) -> Integers:
        """Label of each category id, -1 for none."""
        return _translate(ids, self.categories, self.labels)


def _translate(ids: list[Any], known: pa.Array, values: Integers) -> Integers:
    wanted = _ids(ids)
    if wanted.type != known.type:
        wanted, known = wanted.cast(pa.string()), known.cast(pa.string())
    at = pc.index_in(wanted, known, skip_nulls=True)
    at = pc.fill_null(at, -1).to_numpy(zero_copy_only=False)
    return np.where(at >= 0, values[np.maximum(at, 0)] if len(values) else -1, -1)


def open_lookup(bucket: Bucket, key: str) -> Lookup:
    """The lookup of a part."""
    file = BatchFile(bucket, key)
    batch = file.batch(0)
    ids, labels = msgspec.json.decode(file.schema.metadata[CATEGORIES_KEY])
    return Lookup(batch["id"], batch["row"].to_numpy(), _ids(ids), np.array(labels, np.int64))


def spans_of(data: bytes, spans: list[tuple[int, int]], line: int) -> list[Span]:
    """The elements of a part with the lines of the file that they begin in."""
    result, counted = [], 0
    for start, end in spans:
        line += data.count(b"\n", counted, start)
        counted = start
        result.append(Span(start, end, line))
    return result

"""Planning the reading of CVAT's files for images: the images that they name, and the parts that are read apart.

A file is gone through once: its meta and the tags of its images are read, the shapes in them are not. An Arrow file
beside says where each image of a part begins and which row of the plan it is.
"""

import posixpath
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers
from framehouse.annotations.plan import Part
from framehouse.annotations.splits import canonical_split, known_split
from framehouse.runtime import errors
from framehouse.store.frames import write_batches
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from services.conversion import layout
from services.conversion.archive import Archive
from services.conversion.columns import report
from services.conversion.cvat.files import Element, File, Problem, find_files, parse, parser, scan, tag
from services.conversion.cvat.meta import Dataset, Task
from services.conversion.cvat.shapes import Detail
from services.conversion.format import ReadPlan
from services.conversion.unpacked import part_bytes

OWN = ("name", "width", "height", "subset")
"""Attributes of an image that a plan has columns for; the others are kept in its source."""
EXTENSION = r"\.[^./]*$"


class Image(msgspec.Struct, gc=False):
    """An image as a file names it."""

    file: int
    name: str
    subset: str
    width: int | None
    height: int | None
    frame: int | None
    rest: dict[str, str]
    begin: int
    end: int
    line: int


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds files, classes, images and parts. InvalidArgument where there is no such file or none of its images."""
    files, dataset = find_files(archive), Dataset(issues)
    images: list[Image] = []
    for number, file in enumerate(files):
        images += _images(archive, number, file, dataset, issues)
    table, rows = _plan_rows(archive, files, images, issues)
    size = part_bytes(sum(file.size for file in files))
    batches: list[pa.RecordBatch] = []
    parts: list[Part] = []
    key = f"{archive.scratch.rstrip('/')}/elements"
    width, height = (table[name].fill_null(0).to_numpy() for name in ("width", "height"))
    repeats = _repeats(rows)
    for first, end in _cuts(images, size):
        mine, file = images[first:end], files[images[first].file]
        begin, stop = mine[0].begin, mine[-1].end
        row = rows[first:end]
        columns = {
            "begin": pa.array([image.begin - begin for image in mine], pa.int64()),
            "end": pa.array([image.end - begin for image in mine], pa.int64()),
            "line": pa.array([image.line for image in mine], pa.int64()),
            "row": pa.array(row),
            # An image that is there twice goes on counting its annotations elsewhere.
            "first": pa.array(repeats[first:end] << 32),
            "width": pa.array(width[row]),
            "height": pa.array(height[row]),
        }
        detail = msgspec.json.encode(Detail(key, len(batches), file.encoding)).decode()
        parts.append(Part(file.path, file.key, file.offset + begin, stop - begin, detail))
        batches.append(pa.RecordBatch.from_pydict(columns))
    if batches:
        write_batches(archive.bucket, key, batches[0].schema, batches)
    return ReadPlan(table, dataset.schema(), parts)


def _images(archive: Archive, number: int, file: File, dataset: Dataset, issues: IssueLog) -> list[Image]:
    """The images of a file; takes its classes too."""
    found: list[Image] = []
    tasks: list[Task] = []
    tracks: list[int] = []
    using = parser()

    def take(element: Element) -> None:
        if element.name == "meta":
            tasks.extend(dataset.read(element, file))
        elif element.name == "track":
            tracks.append(element.line)
        else:
            dataset.learn(element, file)
            node = parse(tag(element.data), file.encoding, using)
            said = {} if isinstance(node, Problem) else {str(k): str(v) for k, v in node.attrib.items()}
            if not said.get("name", "").strip("./\\ "):
                text = "an image has no name; it was left out with its annotations"
                issues.add("IMAGE_INVALID", ERROR, file.path, text, "give each image a name", element.line)
                return
            found.append(_image(number, element, said))

    scan(archive, file, take, issues)
    if tracks:
        text = f"{len(tracks):,} tracks were not read"
        issues.add("FILE_OF_OTHER_TASK", INFO, file.path, text, "import it as cvat-video", tracks[0])
    subsets = {task.id: task.subset for task in tasks}
    only = tasks[0].subset if len(tasks) == 1 else ""
    stem = posixpath.splitext(posixpath.basename(file.path))[0]
    named = stem if known_split(stem) else ""
    for image in found:
        image.subset = image.subset or subsets.get(image.rest.get("task_id", ""), "") or only or named
    return found


def _image(number: int, element: Element, said: dict[str, str]) -> Image:
    width, height = (_pixels(said.get(side, "")) for side in ("width", "height"))
    frame = said.get("id", "")
    return Image(
        number,
        said["name"],
        said.get("subset", ""),
        width,
        height,
        int(frame) if frame.isdecimal() and len(frame) < 19 else None,
        {key: value for key, value in said.items() if key not in OWN},
        element.start,
        element.start + len(element.data),
        element.line,
    )


def _pixels(text: str) -> int | None:
    return int(text) if text.isdecimal() and 0 < len(text) < 10 and int(text) else None


def _cuts(images: list[Image], size: int) -> list[tuple[int, int]]:
    """Runs of images of one file, of some `size` bytes each."""
    if not images:
        return []
    bounds = [0]
    for i, (before, image) in enumerate(pairwise(images), 1):
        if image.file != before.file or image.begin - images[bounds[-1]].begin >= size:
            bounds.append(i)
    return list(pairwise([*bounds, len(images)]))


def _repeats(rows: Integers) -> Integers:
    """How often the row of each image occurs before it."""
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows)
    before = np.empty(len(rows), np.int64)
    before[order] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return before


def _plan_rows(archive: Archive, files: list[File], images: list[Image], issues: IssueLog) -> tuple[pa.Table, Integers]:
    """The plan's images, and the row of each image of the files."""
    image_rows = archive.images()
    entries = archive.paths.take(pa.array(image_rows))
    names = layout.tidy(pa.array([image.name for image in images], pa.string()))
    subsets = [image.subset for image in images]
    splits = {subset: canonical_split(subset) for subset in dict.fromkeys(subsets)}
    split = pa.array([splits[subset] for subset in subsets], pa.string())
    found, renamed = _find(files, images, names, entries)
    if not len(images) and not len(entries):
        raise errors.InvalidArgument(
            f"{files[0].path} names no images, and the archive holds none", reason="IMAGES_MISSING"
        )
    if len(images) and len(entries) and not (found >= 0).any():
        raise errors.InvalidArgument(
            f"none of {len(images):,} images that {files[0].path} names is in the archive: it names {names[0]}, and "
            f"the archive has {', '.join(entries[:3].to_pylist())}; pack the images under the names that the file has",
            reason="IMAGES_UNMATCHED",
        )
    kept = [
        ({"name": image.name} if other else {}) | image.rest
        for image, other in zip(images, renamed.tolist(), strict=True)
    ]
    extensions = pc.fill_null(pc.struct_field(pc.extract_regex(_taken(entries, found), r"(?P<e>\.[^./]*)$"), "e"), "")
    table = pa.table(
        {
            "name": pc.if_else(pa.array(renamed), pc.binary_join_element_wise(names, extensions, ""), names),
            "at": found,
            "split": split,
            "split_name": pa.array([subset if splits[subset] else "" for subset in subsets], pa.string()),
            "width": pa.array([image.width for image in images], pa.int32()),
            "height": pa.array([image.height for image in images], pa.int32()),
            "frame": pa.array([image.frame for image in images], pa.int64()),
            "source": pa.array([msgspec.json.encode({"cvat": rest}).decode() for rest in kept], pa.string()),
        }
    )
    # The same image in two files of one split is one image.
    same = pc.binary_join_element_wise(table["split"], table["name"], "\0").combine_chunks().dictionary_encode()
    member = same.indices.to_numpy()
    _, first = np.unique(member, return_index=True)
    if len(first) < len(member):
        table = table.take(pa.array(first))
    tell_missing(table["name"].filter(pc.less(table["at"], 0)), files[0].path, len(entries), issues)
    listed = table["at"].to_numpy()
    table = pa.concat_tables([table, unlisted(entries, listed, issues).select(table.column_names)])
    plan = plan_of(archive, table, image_rows)
    row_of = np.empty(table.num_rows, np.int64)
    row_of[plan["place"].to_numpy()] = np.arange(table.num_rows)
    return plan.drop_columns("place"), row_of[member]


def plan_of(archive: Archive, table: pa.Table, image_rows: Integers) -> pa.Table:
    """A plan, in the archive's order, of a table with `at` (of `image_rows`, -1 for none), `name` and plan columns;
    its column `place` is the row of the table.
    """
    at = table["at"].to_numpy()
    rows = np.where(at >= 0, image_rows[np.maximum(at, 0)] if len(image_rows) else -1, -1)
    entries = _taken(archive.paths, rows)
    given = {name: table[name].combine_chunks() for name in table.column_names if name not in ("name", "at")}
    given["path"] = layout.identities(table["name"].combine_chunks(), given["split"], entries)
    frames = _taken(archive.entries["frame"].combine_chunks(), rows)
    given["frame"] = pc.coalesce(given["frame"], frames)
    given["place"] = pa.array(np.arange(len(at)))
    return layout.in_archive_order(layout.plan_table(archive, rows, given))


def _taken(values: pa.Array, at: Integers) -> pa.Array:
    """Some values, null where `at` is -1."""
    return values.take(pa.array(np.maximum(at, 0), mask=at < 0))


def _find(files: list[File], images: list[Image], names: pa.Array, entries: pa.Array) -> tuple[Integers, Any]:
    """Position in `entries` of each image, -1 for none; and which are called as their file without its extension."""
    found, renamed = np.full(len(images), -1), np.zeros(len(images), bool)
    if not len(entries) or not len(images):
        return found, renamed
    groups: dict[tuple[int, str], list[int]] = {}
    for i, image in enumerate(images):
        groups.setdefault((image.file, image.subset), []).append(i)
    stems = pc.replace_substring_regex(entries, EXTENSION, "")
    # Video frames are named without an extension, and written with one.
    for files_ in (entries, stems):
        before = found < 0
        for (number, subset), mine in groups.items():
            at = found[mine]
            layout.look_up(at, names.take(pa.array(mine)), files_, folders(files[number], subset))
            found[mine] = at
        missing = np.flatnonzero(found < 0)
        if len(missing):
            free = np.setdiff1d(np.arange(len(entries)), found)
            again = layout.find(names.take(pa.array(missing)), files_.take(pa.array(free)), [])
            found[missing] = np.where(again >= 0, free[np.maximum(again, 0)] if len(free) else -1, -1)
        if files_ is stems:
            renamed = before & (found >= 0)
        if (found >= 0).all():
            break
    return found, renamed


def folders(file: File, subset: str) -> list[str]:
    """Where the images of a subset may lie, the likeliest first."""
    here = posixpath.dirname(file.path)
    inside = [posixpath.join(here, *parts) for parts in (("images", subset), (subset, "images"), (subset,)) if subset]
    if not subset:
        inside = [posixpath.join(here, "images", "default")]
    return list(dict.fromkeys([*inside, posixpath.join(here, "images"), here]))


def tell_missing(names: pa.ChunkedArray, path: str, entries: int, issues: IssueLog) -> None:
    """Says which images the archive does not hold, or that it holds none at all."""
    if not len(names):
        return
    if not entries:
        text = f"the archive holds labels only; {len(names):,} images are kept without bytes"
        issues.add("IMAGES_ABSENT", INFO, path, text, "add the images to the archive")
        return
    texts = pc.binary_join_element_wise("the archive does not hold image ", names, "; its labels are kept", "")
    lines = np.zeros(len(names), np.int64)
    paths = pa.repeat(path, len(names))
    report(issues, "IMAGE_MISSING", WARNING, paths, lines, texts.to_pylist(), "add the image to the archive")


def unlisted(entries: pa.Array, taken: Integers, issues: IssueLog) -> pa.Table:
    """Images of the archive that no file names, as rows of their own."""
    rest = np.setdiff1d(np.arange(len(entries)), taken)
    files = entries.take(pa.array(rest))
    names, spelled = layout.below_split(files)
    text = "no XML file names this image; it is kept without annotations"
    report(issues, "IMAGE_NOT_LISTED", INFO, files, np.zeros(len(rest), np.int64), text, "add it to the file")
    return pa.table(
        {
            "name": names,
            "at": rest,
            "split": pa.array([known_split(folder) for folder in spelled], pa.string()),
            "split_name": pa.array(spelled, pa.string()),
            "width": pa.nulls(len(rest), pa.int32()),
            "height": pa.nulls(len(rest), pa.int32()),
            "frame": pa.nulls(len(rest), pa.int64()),
            "source": pa.nulls(len(rest), pa.string()),
        }
    )

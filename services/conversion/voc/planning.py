"""Pascal VOC: which images, XML files, masks and lists of an archive belong together.

An image `JPEGImages/a.jpg` has `Annotations/a.xml`, `SegmentationClass/a.png` and `SegmentationObject/a.png`. Folders
may be called otherwise, or be one; splits are said by ImageSets, or else by folders.
"""

import difflib
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations import geometry
from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import State
from framehouse.annotations.splits import canonical_split
from framehouse.runtime import errors
from framehouse.runtime.jobs import report as progress
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from framehouse.store.packs import read_entries
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import columns, layout
from services.conversion.archive import Archive
from services.conversion.format import Candidate, ReadPlan
from services.conversion.voc import heads as voc_heads
from services.conversion.voc import labels as voc_labels
from services.conversion.voc import lists as voc_lists
from services.conversion.voc import masks as voc_masks
from services.conversion.voc import plain
from services.conversion.voc.xml import Refused

IMAGE_FOLDERS = "JPEGImages", "PNGImages|images?|imgs?"
XML_FOLDERS = "Annotations", "annotation|xmls?|labels?"
CLASSES, INSTANCES = "SegmentationClass", "SegmentationObject"
MASK_FILE = rf"(?i)(^|/)({CLASSES}|{INSTANCES})[^/]*/"
MAP_FILE = re.compile(r"(?i)(^|/)label_?map\.txt$")
MAX_MAP_BYTES = 4 << 20
MAX_XML_BYTES = 64 << 20
LOOKED_AT = 5
"""XML files that are looked at to tell what they are."""
BEGINNING = 4 << 10
OTHERS = (b"<imagesize", b"<sourceImage", b"<pt>")
"""What files of LabelMe have, whose root is the same."""
XML, CLASS_FILE, INSTANCE_FILE = "label", "class", "object"
"""Files of an image, by what their columns of a plan begin with."""


@dataclass
class Places:
    """Images, and what else an archive has that there should be images of."""

    paths: pa.Array
    """Of the image; where it is not in the archive, where it should be."""
    keys: pa.Array
    """Without the folder of images and the extension, by which everything else finds them."""
    row: Integers
    """In the archive, -1 for none."""
    files: dict[str, Integers]
    """Rows of the XML files and masks of each, -1 for none."""


class Scan(NamedTuple):
    """What the XML files of an archive say, as far as the plan has to know it."""

    rows: Integers
    heads: pa.Table
    """What each says (`voc.heads`)."""
    problems: dict[int, Refused]
    """By position in `rows`."""
    names: voc_labels.Names


def detect(archive: Archive) -> Candidate | None:
    """XML files of VOC, or masks and lists of images as VOC has them."""
    lists = [archive.path(row) for row in voc_lists.rows(archive).tolist()]
    rows = archive.with_extension("xml")
    # Those that lie where VOC has them come first.
    likely = pc.match_substring_regex(archive.paths.take(pa.array(rows)), r"(?i)(^|/)Annotations/")
    rows = rows[np.argsort(~likely.to_numpy(zero_copy_only=False), kind="stable")]
    looked = [archive.beginning(row, BEGINNING) for row in rows[:LOOKED_AT].tolist()]
    if any(_is_voc(data) for data in looked):
        beside = f", and {lists[0]}" if lists else ""
        return Candidate(0.95 if lists else 0.9, f"{len(rows):,} XML files as {archive.path(int(rows[0]))}{beside}")
    masks_there = bool(pc.any(pc.match_substring_regex(archive.paths, MASK_FILE)).as_py())
    if not lists or not (masks_there or any("/main/" in f"/{path.lower()}" for path in lists)):
        return None
    what = "masks and lists" if masks_there else "lists"
    return Candidate(0.7, f"{what} of images as {lists[0]}, without XML files")


def _is_voc(data: bytes) -> bool:
    if b"\0" in data:
        data = data.replace(b"\0", b"")
    start = data.find(b"<annotation>")
    if start < 0 or any(mark in data for mark in OTHERS):
        return False
    return any(mark in data[start:] for mark in (b"<bndbox", b"<robndbox", b"<size>", b"<object>", b"<filename>"))


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds images, splits, classes, XML files and masks. InvalidArgument where there are none, or none fits."""
    lists = voc_lists.find(archive)
    scan = _scan(archive)
    places = _places(archive, scan, issues)
    if not len(places.paths):
        raise errors.InvalidArgument(
            "the archive holds no images, no XML files and no masks of Pascal VOC; they lie in JPEGImages, Annotations "
            "and SegmentationClass",
            reason="LABELS_MISSING",
        )
    known = voc_lists.assign(lists, places.keys, issues)
    names, folders = _names(places.paths, bool(lists.splits or lists.classes))
    split, split_name = known.split, known.split_name
    for i, folder in enumerate(folders):
        if folder and not split_name[i]:
            split[i], split_name[i] = canonical_split(folder), folder
    splits = pa.array(split, pa.string())
    labels, classes = _labels(archive, lists, scan, places, issues)
    said = _said(archive, places, scan)
    tags = _tags(known, classes, labels, len(places.paths))
    own = {
        f"{prefix}_{name}": column
        for prefix, rows in places.files.items()
        for name, column in _ranges(archive, rows).items()
    }
    entries = pc.if_else(pa.array(places.row >= 0), places.paths, None)
    given = {
        "path": layout.identities(names, splits, pc.coalesce(entries, names)),
        "split": splits,
        "split_name": pa.array(split_name, pa.string()),
        **said,
        **own,
        "tags": tags,
    }
    table = layout.plan_table(archive, places.row, given)
    _tell_absent(archive, places, issues)
    return ReadPlan(layout.in_archive_order(table), labels, None)


def _scan(archive: Archive) -> Scan:
    """Reads all XML files, for what the plan has to know of them."""
    rows = archive.with_extension("xml")
    sizes = archive.entries["size"].to_numpy()
    rows = rows[sizes[rows] <= MAX_XML_BYTES]
    problems: dict[int, Refused] = {}
    names = voc_labels.Names()
    heads, places = [voc_heads.SCHEMA.empty_table()], [np.zeros(0, np.int64)]
    for run in plain.runs(_sound(archive, rows, problems)):
        refused: dict[int, Refused] = {}
        heads.append(voc_heads.read([data for _, data in run], names, refused))
        places.append(np.array([i for i, _ in run]))
        problems |= {run[k][0]: refusal for k, refusal in refused.items()}
        progress(sum(map(len, places)))
    names.objects.discard("")
    names.parts.pop("", None)
    names.actions.pop("", None)
    at = np.full(len(rows), -1)
    at[np.concatenate(places)] = np.arange(sum(map(len, places)))
    return Scan(rows, pa.concat_tables(heads).take(pa.array(at, mask=at < 0)).combine_chunks(), problems, names)


def _sound(archive: Archive, rows: Integers, problems: dict[int, Refused]) -> Iterator[tuple[int, bytes]]:
    """Position and bytes of each file of `rows`; `problems` gets the damaged ones."""
    for i, entry in read_entries(archive.bucket, archive.entries.take(pa.array(rows))):
        if entry.damage:
            text = f"the label file is damaged: {entry.damage}"
            problems[i] = Refused("ENTRY_DAMAGED", text, "send the archive again")
        else:
            yield i, entry.data


def _places(archive: Archive, scan: Scan, issues: IssueLog) -> Places:
    """Images, with the files of each; and rows for XML files and masks whose images are not there."""
    image_rows = archive.images()
    files = archive.paths.take(pa.array(image_rows))
    among = pc.match_substring_regex(files, MASK_FILE).to_numpy(zero_copy_only=False)
    image_rows, files = image_rows[~among], files.filter(pa.array(~among))
    at = _match_xml(archive, scan, files)
    xml_paths = archive.paths.take(pa.array(scan.rows))
    if len(files) and len(at) and not (at >= 0).any():
        raise _unmatched(xml_paths, files)
    is_lost = at < 0
    for i in [i for i in np.flatnonzero(is_lost).tolist() if i in scan.problems]:
        # One of an image is told where it is read.
        refusal = scan.problems[i]
        issues.add(refusal.code, ERROR, xml_paths[i].as_py(), refusal.text, refusal.remedy, refusal.line)
        is_lost[i] = False
    lost = np.flatnonzero(is_lost)
    at[lost] = len(files) + np.arange(len(lost))
    wanted = _wanted_images(xml_paths.take(pa.array(lost)), scan.heads["file_name"].take(pa.array(lost)).to_pylist())
    files = pa.concat_arrays([files, wanted])

    masks_of = {}
    for prefix, folder in ((CLASS_FILE, CLASSES), (INSTANCE_FILE, INSTANCES)):
        found = pc.match_substring_regex(archive.paths, rf"(?i)(^|/){folder}/.*\.png$")
        masks_of[prefix] = np.flatnonzero(found.to_numpy(zero_copy_only=False))
    mask_paths = archive.paths.take(pa.array(np.concatenate(list(masks_of.values()))))
    mask_keys = _keys(mask_paths, CLASSES, INSTANCES)
    alone = mask_paths.filter(pc.invert(pc.is_in(mask_keys, _keys(files, *IMAGE_FOLDERS))))
    alone = pc.replace_substring_regex(
        alone, rf"(?i)^((?:.*?/)??)(?:{CLASSES}|{INSTANCES})/(.+)\.png$", r"\1JPEGImages/\2.jpg"
    )
    files = pa.concat_arrays([files, pc.unique(alone)])
    keys = _keys(files, *IMAGE_FOLDERS)
    row = np.concatenate([image_rows, np.full(len(files) - len(image_rows), -1)])
    beside = {XML: _first(archive, scan.rows, at, len(files), issues)}
    for prefix, rows in masks_of.items():
        place = pc.index_in(_keys(archive.paths.take(pa.array(rows)), CLASSES, INSTANCES), keys)
        beside[prefix] = _first(
            archive, rows, place.to_numpy(zero_copy_only=False).astype(np.int64), len(files), issues
        )
    return Places(files, keys, row, beside)


def _keys(paths: pa.Array, first: str, others: str) -> pa.Array:
    """Paths without extension, and without the first folder that is called `first`, or else one of `others`."""
    matched = pc.match_substring_regex(paths, rf"(?i)(^|/){first}/.")
    whole, keys = r"(?i)^((?:.*?/)??)(?:%s)/(.+)$", paths
    if pc.any(matched).as_py():
        keys = pc.replace_substring_regex(paths, whole % first, r"\1\2")
    if not pc.all(matched).as_py():
        keys = pc.if_else(matched, keys, pc.replace_substring_regex(paths, whole % others, r"\1\2"))
    return pc.replace_substring_regex(keys, r"\.[^./]*$", "")


def _match_xml(archive: Archive, scan: Scan, files: pa.Array) -> Integers:
    """Position in `files` of the image of each XML file, -1 for none."""
    image_keys = _keys(files, *IMAGE_FOLDERS)
    extensions = pc.utf8_lower(pc.struct_field(pc.extract_regex(files, r"(?P<last>\.[^./]*)$"), "last"))
    whole = pc.binary_join_element_wise(image_keys, pc.fill_null(extensions, ""), "")
    keys = _keys(archive.paths.take(pa.array(scan.rows)), *XML_FOLDERS)
    names = pc.fill_null(scan.heads["file_name"].combine_chunks(), "")
    named = pc.utf8_lower(pc.struct_field(pc.extract_regex(names, r"(?P<last>\.[^./\\]*)$"), "last"))
    result = np.full(len(keys), -1)
    # `a.xml` of `a.jpg` and `a.png` belongs to the one that it names; some are called `a.jpg.xml`.
    for wanted, known in (
        (pc.binary_join_element_wise(keys, pc.fill_null(named, "\n"), ""), whole),
        (keys, image_keys),
        (keys, whole),
    ):
        _fill(result, pc.index_in(wanted, known))
    missing = np.flatnonzero(result < 0)
    free = np.setdiff1d(np.arange(len(files)), result)
    if len(missing) and len(free):
        said = names.to_pylist()
        once = Counter(said)
        missing = np.array([i for i in missing.tolist() if said[i] and once[said[i]] == 1], np.int64)
        again = layout.find(names.take(pa.array(missing)), files.take(pa.array(free)), [])
        result[missing] = np.where(again >= 0, free[np.maximum(again, 0)], -1)
    return result


def _fill(result: Integers, found: pa.Array) -> None:
    """Sets what has not been found before."""
    at = pc.fill_null(found, -1).to_numpy(zero_copy_only=False)
    result[result < 0] = at[result < 0]


def _unmatched(xml_paths: pa.Array, files: pa.Array) -> errors.InvalidArgument:
    known = [posixpath.basename(path) for path in files[:5000].to_pylist()]
    hints = []
    for path in xml_paths[:3].to_pylist():
        near = difflib.get_close_matches(posixpath.basename(path), known, 1, 0.6)
        hints.append(f"{path}{f' (near is an image {near[0]})' if near else ''}")
    return errors.InvalidArgument(
        f"none of {len(xml_paths):,} XML files belongs to an image, for instance {'; '.join(hints)}. An XML file has "
        "the name of its image, in Annotations instead of JPEGImages, or says it in <filename>",
        reason="LABELS_UNMATCHED",
    )


def _wanted_images(xml_paths: pa.Array, file_names: list[str | None]) -> pa.Array:
    """Where the images of XML files should be."""
    stems = pc.replace_substring_regex(xml_paths, r"(?i)^((?:.*?/)??)Annotations/(.+)$", r"\1JPEGImages/\2")
    wanted = []
    for path, name in zip(stems.to_pylist(), file_names, strict=True):
        stem = path.rsplit(".", 1)[0]
        last = posixpath.splitext(name or "")[1]
        wanted.append(stem if last and stem.endswith(last) else stem + (last or ".jpg"))
    return pa.array(wanted, pa.string())


def _first(archive: Archive, rows: Integers, at: Integers, count: int, issues: IssueLog) -> Integers:
    """The row that belongs to each of `count` images, -1 for none; `at` is the image of each row, -1 for none."""
    result = np.full(count, -1)
    there = np.flatnonzero(at >= 0)[::-1]
    result[at[there]] = rows[there]
    for i in there[result[at[there]] != rows[there]][::-1].tolist():
        text = f"{archive.path(int(result[at[i]]))} belongs to the same image; this file was left out"
        issues.add("LABEL_REPEATED", ERROR, archive.path(int(rows[i])), text, "keep one of the two")
    return result


def _names(paths: pa.Array, has_lists: bool) -> tuple[pa.Array, list[str]]:
    """Names of images below the folders of images and splits, and the folder of the split; lists make it a name."""
    pattern = r"(?i)^(?:.*?/)??JPEGImages/(?P<rest>.+)$"
    plain = pc.replace_substring_regex(paths, r"(?i)^((?:.*?/)??)JPEGImages/", r"\1images/")
    names, folders = layout.below_split(plain)
    if not has_lists:
        return names, folders
    below = pc.struct_field(pc.extract_regex(paths, pattern), "rest")
    inside = below.is_valid().to_pylist()
    return pc.coalesce(below, names), ["" if here else name for here, name in zip(inside, folders, strict=True)]


def _labels(
    archive: Archive, lists: voc_lists.Lists, scan: Scan, places: Places, issues: IssueLog
) -> tuple[LabelSchema, list[str]]:
    """The classes, and the class of each list of a class."""
    rows = [row for row in archive.with_extension("txt").tolist() if MAP_FILE.search(archive.path(row))]
    path, entries, has_background = "", None, False
    if rows:
        row = min(rows, key=lambda row: (archive.path(row).count("/"), row))
        path = archive.path(row)
        text = archive.read(row, MAX_MAP_BYTES).removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
        entries, has_background = voc_labels.read_map(path, text, issues)
    names = scan.names
    declared = [entry.name for entry in entries or voc_labels.challenge()]
    spelled = {voc_labels.file_name(name): name for name in [*sorted(names.objects), *declared]}
    tagged = [spelled.get(name, name) for _, name, _ in lists.classes]
    names.tags.update(tagged)
    has_masks = bool((places.files[CLASS_FILE] >= 0).any())
    return voc_labels.schema(path, entries, has_background, names, has_masks, issues), tagged


def _said(archive: Archive, places: Places, scan: Scan) -> dict[str, pa.Array]:
    """Width, height, source and state of images, as their XML files say; the size of a mask where they do not."""
    position = np.searchsorted(scan.rows, np.maximum(places.files[XML], 0))
    heads = scan.heads.take(pa.array(position, mask=places.files[XML] < 0)).combine_chunks()
    said = {name: heads[name].combine_chunks() for name in ("width", "height", "source")}
    empty = pc.equal(heads["has_objects"].combine_chunks(), False)
    said["state"] = pc.if_else(empty, pa.scalar(int(State.VERIFIED_EMPTY), pa.int8()), None)
    of = np.where(places.files[CLASS_FILE] >= 0, places.files[CLASS_FILE], places.files[INSTANCE_FILE])
    unsized = pc.is_null(said["width"]).to_numpy(zero_copy_only=False) & (places.row < 0) & (of >= 0)
    at = np.flatnonzero(unsized)
    if len(at):
        width, height = said["width"].to_pylist(), said["height"].to_pylist()
        for k, entry in read_entries(archive.bucket, archive.entries.take(pa.array(of[at]))):
            size = voc_masks.size_of(entry.data)
            if size is not None:
                width[at[k]], height[at[k]] = size
        said |= {"width": pa.array(width, pa.int32()), "height": pa.array(height, pa.int32())}
    return said


def _tags(known: voc_lists.Membership, classes: list[str], labels: LabelSchema, count: int) -> pa.Array:
    """The labels of the classes that lists say are present in each of `count` images."""
    position = {label.name: i for i, label in enumerate(labels.labels)}
    none = np.zeros(0, np.int64)
    image = np.concatenate([none, *known.tags])
    label = np.repeat(np.array([position[name] for name in classes], np.int64), [len(rows) for rows in known.tags])
    pairs = np.unique(np.stack([image, label], axis=1), axis=0)
    offsets = geometry.starts(np.bincount(pairs[:, 0], minlength=count))
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(pairs[:, 1].astype(np.int32)))


def _ranges(archive: Archive, rows: Integers) -> dict[str, pa.Array]:
    """A plan's columns for one file of each image, of which `rows` are the rows in the archive, -1 for none."""
    at = pa.array(np.maximum(rows, 0), mask=rows < 0)
    return {name: archive.entries[name].combine_chunks().take(at) for name in ("path", *layout.RANGE_COLUMNS)}


def _tell_absent(archive: Archive, places: Places, issues: IssueLog) -> None:
    absent = np.flatnonzero(places.row < 0)
    if not len(absent):
        return
    of = np.max([rows[absent] for rows in places.files.values()], axis=0)
    if len(absent) == len(places.row):
        text = f"the archive holds labels only; {len(absent):,} images are kept without bytes"
        issues.add("IMAGES_ABSENT", INFO, archive.path(int(of[0])), text, "add the images to the archive")
        return
    names = places.paths.take(pa.array(absent)).to_pylist()
    texts = [f"the archive does not hold image {name}; its labels are kept" for name in names]
    paths = archive.paths.take(pa.array(of))
    columns.report(
        issues, "IMAGE_MISSING", WARNING, paths, np.zeros(len(of), np.int64), texts, "add the image to the archive"
    )

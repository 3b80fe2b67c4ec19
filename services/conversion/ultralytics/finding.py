"""What the Ultralytics tasks have in common: finding images, splits and label files, and the rows of label files.

Images lie in `images/<split>/` or `<split>/images/`, or where data.yaml says; the label file of an image has its name
with `.txt`, and `labels` for the last folder called `images`. Coordinates are relative to the upright image. What a row
means is said by the task's own module.
"""

import difflib
import posixpath
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import State
from framehouse.annotations.splits import canonical_split, known_split
from framehouse.runtime import errors
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from framehouse.store.packs import read_pieces
from framehouse.v1.annotation_pb2 import Severity
from services.conversion import layout, numbers
from services.conversion.archive import Archive
from services.conversion.columns import report
from services.conversion.format import LabelSource, ReadPlan
from services.conversion.ultralytics import data_yaml
from services.conversion.ultralytics.data_yaml import DataYaml

MAX_LIST_BYTES = 256 << 20
MAX_LABEL_BYTES = 32 << 20
"""Bytes of an image's label file."""
MAX_SHARD_BYTES = 256 << 20
"""Bytes of the label files of a shard together: all of them are read as one text."""
LABEL_COLUMNS = [f"label_{name}" for name in ("path", *layout.RANGE_COLUMNS)]
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Rows:
    """The rows of the label files of a shard."""

    runs: numbers.Runs
    """One a line; its `item` is a position in `images`."""
    images: Integers
    """Row in the shard of each label file."""
    paths: pa.Array
    """The label files."""

    def report(
        self,
        issues: IssueLog,
        code: str,
        at: Integers,
        messages: list[str] | str,
        remedy: str,
        severity: Severity = ERROR,
    ) -> None:
        """An issue for each of some lines."""
        paths = self.paths.take(pa.array(self.runs.item[at]))
        report(issues, code, severity, paths, self.runs.ordinal[at] + 1, messages, remedy)


class Claims:
    """Which split each of some images belongs to; the first claim wins."""

    def __init__(self, count: int) -> None:
        self.taken = np.zeros(count, bool)
        self._at = [np.zeros(0, np.int64)]
        self._names = [pa.array([], pa.string())]
        self._splits: list[tuple[str, str]] = [("", "")]

    def claim(self, at: Integers, split: str, split_name: str, names: pa.Array) -> None:
        """Claims the images `at`, which have these names below the split's folder, as far as they are free."""
        free = ~self.taken[at]
        self._at.append(at[free])
        self._names.append(names if free.all() else names.filter(pa.array(free)))
        self._splits.append((split, split_name))
        self.taken[at] = True

    def columns(self) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Of the images that were claimed, in their order: the split, its name as spelled, the image's name."""
        order = pa.array(np.argsort(np.concatenate(self._at), kind="stable"))
        claim = pa.array(np.repeat(np.arange(len(self._at)), [len(at) for at in self._at])).take(order)
        split, split_name = (pa.array(column, pa.string()).take(claim) for column in zip(*self._splits, strict=True))
        return split, split_name, pa.concat_arrays(self._names).take(order)


def plan(archive: Archive, data: DataYaml, issues: IssueLog) -> ReadPlan:
    """Finds images, splits and label files. InvalidArgument where there are no images, or no label file matches."""
    labels = data_yaml.class_names(data, issues)
    image_rows = archive.images()
    files = archive.paths.take(pa.array(image_rows))
    if not len(files):
        raise errors.InvalidArgument(
            f"{data.file} describes a dataset, but the archive holds no images; pack the images with the labels",
            reason="IMAGES_MISSING",
        )
    claims = _claims(archive, data, files, issues)
    kept = np.flatnonzero(claims.taken)
    if not len(kept):
        places = ", ".join(dict.fromkeys(posixpath.dirname(path) or "the top" for path in files[:1000].to_pylist()))
        wanted = "; ".join(f"{key}: {', '.join(values)}" for key, values in data.splits().items())
        raise errors.InvalidArgument(
            f"{data.file} says {wanted or 'nothing of splits'}, but the archive has no images there; "
            f"it has some in {places[:200]}. Correct `path`, `train` and `val`",
            reason="IMAGES_NOT_FOUND",
        )
    if len(kept) < len(files):
        files, image_rows = files.take(pa.array(kept)), image_rows[kept]
    splits, split_names, names = claims.columns()
    own = label_columns(archive, _labels(archive, data, files, names, split_names, issues))
    paths = layout.identities(names, splits, files)
    table = layout.plan_table(archive, image_rows, {"path": paths, "split": splits, "split_name": split_names, **own})
    return ReadPlan(layout.in_archive_order(table), labels, None)


def label_columns(archive: Archive, label_rows: Integers) -> dict[str, pa.Array]:
    """A plan's columns for the label file of each image, of which `label_rows` are the rows, -1 for none."""
    entries = archive.entries.take(pa.array(np.maximum(label_rows, 0)))
    absent = pa.array(label_rows < 0)
    own = {
        f"label_{name}": pc.if_else(absent, pa.scalar(None, entries.schema.field(name).type), entries[name])
        for name in ("path", *layout.RANGE_COLUMNS)
    }
    # An empty label file says that somebody looked and found nothing; no file says nothing.
    empty = pc.fill_null(pc.equal(own["label_size"], 0), False)
    own["state"] = pc.if_else(empty, pa.scalar(int(State.VERIFIED_EMPTY), pa.int8()), pa.scalar(None, pa.int8()))
    return own


def beside(archive: Archive, images: pa.Array) -> Integers:
    """Row of the text file beside each image, -1 for none."""
    text_rows = archive.with_extension("txt")
    texts = _with_small_ending(archive.paths.take(pa.array(text_rows)))
    at = pc.fill_null(pc.index_in(_stems(images), texts), -1)
    found = at.to_numpy(zero_copy_only=False)
    return np.where(found >= 0, text_rows[np.maximum(found, 0)] if len(text_rows) else -1, -1)


def _claims(archive: Archive, data: DataYaml, files: pa.Array, issues: IssueLog) -> Claims:
    claims = Claims(len(files))
    found: list[tuple[bool, str, str, str, Integers, pa.Array]] = []
    for key, values in data.splits().items():
        split = canonical_split(key)
        for value in values:
            place, at, names = _place(archive, data, value, files, issues)
            if not len(at):
                if known_split(key):
                    text = f"`{key}` is {value}, and the archive has no images there"
                    issues.add("SPLIT_EMPTY", WARNING, data.file, text, f"correct or remove `{key}`")
                continue
            spelled = [part for part in place.split("/") if known_split(part)]
            same = [part for part in spelled if known_split(part) == split]
            # Where two splits name one folder, it belongs to the one that it is called by.
            found.append((bool(spelled) and not same, place, split, (same or [key])[-1], at, names))
    places: set[str] = set()
    splits = list(dict.fromkeys(split for _, _, split, _, _, _ in found))
    owner = np.full(len(files), -1)
    for _, place, split, split_name, at, names in sorted(found, key=lambda claim: claim[0]):
        number = splits.index(split)
        overlap = int((claims.taken[at] & (owner[at] != number)).sum())
        if overlap and place not in places:
            text = (
                f"{overlap:,} images in {place or 'the top'}, the place of {split_name}, are of another split already"
            )
            issues.add("SPLITS_OVERLAP", INFO, data.file, text, "name each image in one split")
        places.add(place)
        owner[at[~claims.taken[at]]] = number
        claims.claim(at, split, split_name, names)
    rest = np.flatnonzero(~claims.taken)
    if len(rest):
        names, folders = layout.below_split(files.take(pa.array(rest)))
        inside = pc.match_substring_regex(files.take(pa.array(rest)), r"(?i)(^|/)images/").to_numpy(
            zero_copy_only=False
        )
        listed = inside | (not found and not data.splits())
        for folder in sorted(set(folders)):
            here = listed & (np.array(folders, object) == folder)
            claims.claim(rest[here], known_split(folder), folder, names.filter(pa.array(here)))
        left = files.take(pa.array(rest[~listed]))
        text = f"{data.file} does not name this image, and it lies in no folder `images`; it was left out"
        report(issues, "IMAGE_NOT_LISTED", INFO, left, np.zeros(len(left), np.int64), text, "add its folder to a split")
    return claims


def _place(
    archive: Archive, data: DataYaml, value: str, files: pa.Array, issues: IssueLog
) -> tuple[str, Integers, pa.Array]:
    """Where a split's value leads: the place, the images there (positions in `files`), and their names below it."""
    for place in data.places(value):
        row = int(pc.index(archive.paths, place).as_py()) if place.lower().endswith(".txt") else -1
        if row >= 0:
            lines = archive.read(row, MAX_LIST_BYTES).removeprefix(BOM).decode(errors="replace").split("\n")
            listed = pa.array([line.strip() for line in lines if line.strip()], pa.string())
            folders = list(dict.fromkeys([data.folder, posixpath.dirname(place)]))
            at = layout.find(listed, files, folders)
            unknown = np.flatnonzero(at < 0)
            if len(unknown):
                text = f"{len(unknown):,} of the images that it lists are not in the archive, for instance "
                text += listed[int(unknown[0])].as_py()[:200]
                issues.add("LIST_ENTRY_UNKNOWN", WARNING, place, text, "add the images, or correct the list")
            at = np.unique(at[at >= 0])
            here = files.take(pa.array(at))
            names, _ = layout.below_split(here)
            if data.folder:
                prefix = f"{data.folder}/"
                whole = pc.and_(pc.equal(names, here), pc.starts_with(here, prefix))
                names = pc.if_else(whole, pc.utf8_slice_codeunits(here, len(prefix)), names)
            return place, at, names
        prefix = f"{place}/" if place else ""
        at = np.flatnonzero(pc.starts_with(files, prefix).to_numpy(zero_copy_only=False))
        if len(at):
            names = pc.utf8_slice_codeunits(files.take(pa.array(at)), len(prefix))
            return place, at, pc.replace_substring_regex(names, r"^images/", "")
    return value, np.zeros(0, np.int64), pa.array([], pa.string())


def label_names(images: pa.Array) -> pa.Array:
    """Where Ultralytics looks for the label files of images."""
    folders, names = _split(images, "/")
    # Of many images there are few folders.
    folders = folders.dictionary_encode()
    places = pc.replace_substring_regex(folders.dictionary, r"^(.*/)?images/(.*)$", r"\1labels/\2")
    stems, rest = _split(names, ".")
    text = pc.if_else(pc.equal(stems, ""), rest, pc.binary_join_element_wise(stems, "txt", ""))
    return pc.binary_join_element_wise(places.take(folders.indices), text, "")


def _split(texts: pa.Array, mark: str) -> tuple[pa.Array, pa.Array]:
    """What each text is up to the last mark, with it, and what follows; the first is empty where there is none."""
    parts = pc.split_pattern(texts, mark, max_splits=1, reverse=True)
    pieces, offsets = parts.flatten(), np.asarray(parts.offsets)
    offsets = offsets - offsets[0]
    before = pc.binary_join_element_wise(pieces.take(pa.array(offsets[:-1])), mark, "")
    return pc.if_else(pa.array(np.diff(offsets) == 2), before, ""), pieces.take(pa.array(offsets[1:] - 1))


def _with_small_ending(texts: pa.Array) -> pa.Array:
    """Paths that end in `.txt`, in any case, with that in small letters."""
    if pc.all(pc.ends_with(texts, ".txt")).as_py() is not False:
        return texts
    return pc.binary_join_element_wise(pc.utf8_slice_codeunits(texts, 0, -4), "txt", ".")


def _stems(images: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(images, r"\.[^./]*$", ".txt")


def _labels(
    archive: Archive, data: DataYaml, files: pa.Array, names: pa.Array, split_names: pa.Array, issues: IssueLog
) -> Integers:
    """Row of the label file of each image, -1 for none. What belongs to no image becomes an issue."""
    text_rows = archive.with_extension("txt")
    texts = archive.paths.take(pa.array(text_rows))
    spelled = _with_small_ending(texts)
    result = np.full(len(files), -1)
    top = posixpath.join(data.folder, "labels/")
    candidates: tuple[Callable[[pa.Array, pa.Array, pa.Array], pa.Array], ...] = (
        lambda files, names, splits: label_names(files),
        lambda files, names, splits: pc.replace_substring_regex(
            _stems(files), r"^(.*?/)??images/(.*)$", r"\1labels/\2"
        ),
        lambda files, names, splits: _stems(files),
        lambda files, names, splits: pc.binary_join_element_wise(top, splits, "/", _stems(names), ""),
        lambda files, names, splits: pc.binary_join_element_wise(top, _stems(names), ""),
    )
    for candidate in candidates:
        missing = np.flatnonzero(result < 0)
        if len(missing):
            some = candidate(*(column.take(pa.array(missing)) for column in (files, names, split_names)))
            result[missing] = pc.fill_null(pc.index_in(some, spelled), -1).to_numpy(zero_copy_only=False)
    unused = np.ones(len(texts), bool)
    unused[result[result >= 0]] = False
    orphans = np.flatnonzero(unused)
    lost = texts.take(pa.array(orphans))
    if len(orphans):
        in_labels = pc.match_substring_regex(lost, r"(?i)(^|/)labels/(?:.*/)?[^/]+$")
        in_labels = pc.and_not(in_labels, pc.match_substring_regex(lost, r"(?i)(^|/)classes\.txt$"))
        orphans, lost = orphans[in_labels.to_numpy(zero_copy_only=False)], lost.filter(in_labels)
    if len(orphans):
        near = _near(lost, files)
        if not (result >= 0).any():
            examples = "; ".join(f"{path}{hint}" for path, hint in zip(lost[:3].to_pylist(), near, strict=False))
            raise errors.InvalidArgument(
                f"none of {len(orphans):,} label files belongs to an image, for instance {examples}. A label file has "
                "the name of its image, in `labels` instead of `images`",
                reason="LABELS_UNMATCHED",
            )
        messages = [f"there is no image for this label file{hint}" for hint in near]
        report(
            issues,
            "LABEL_WITHOUT_IMAGE",
            ERROR,
            lost,
            np.zeros(len(lost), np.int64),
            messages,
            "add the image, or rename the label file to the name of its image",
        )
    return np.where(result >= 0, text_rows[np.maximum(result, 0)] if len(text_rows) else -1, -1)


def _near(lost: pa.Array, images: pa.Array) -> list[str]:
    """For each label file a near match among the images' names; only for the first few, for it is slow."""
    known = [posixpath.basename(stem) for stem in _stems(images[:5000]).to_pylist()]
    hints = []
    for path in lost[:10].to_pylist():
        match = difflib.get_close_matches(posixpath.basename(path), known, 1, 0.8)
        hints.append(f"; near is an image {posixpath.splitext(match[0])[0]}" if match else "")
    return hints + [""] * (len(lost) - len(hints))


def read_rows(source: LabelSource, issues: IssueLog) -> Rows:
    """Reads the label files of a shard's usable images, all of them as one text.

    A line with anything but numbers is an issue LABEL_NOT_A_NUMBER and counts as empty. A file too large to be one of
    labels is an issue LABEL_FILE_TOO_LARGE.
    """
    assert source.images is not None and source.media is not None
    wanted = pc.and_(source.media["usable"], pc.is_valid(source.images["label_object"]))
    at = np.flatnonzero(wanted.to_numpy(zero_copy_only=False))
    ranges = source.images.select(LABEL_COLUMNS).take(pa.array(at)).rename_columns(["path", *layout.RANGE_COLUMNS])
    fitting = _fitting(ranges, issues)
    at, ranges = at[fitting], ranges.take(pa.array(fitting))
    paths = ranges["path"]
    texts = [b""] * len(at)
    for piece in read_pieces(source.bucket, ranges):
        for i, data in zip(piece.rows.tolist(), piece.data, strict=True):
            texts[i] = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
            if data.startswith(BOM):
                texts[i] = texts[i].removeprefix(BOM)
        for k, damage in sorted(piece.damage.items()):
            i = int(piece.rows[k])
            texts[i] = b""
            remedy = "pack and send the archive again"
            issues.add("ENTRY_DAMAGED", ERROR, paths[i].as_py(), f"the label file is damaged: {damage}", remedy)
    return Rows(_parsed(texts, paths, issues), at, paths)


def _parsed(texts: list[bytes], paths: pa.Array, issues: IssueLog) -> numbers.Runs:
    """The numbers of label files. Files that hold anything else are mended, and looked for by halves: few do."""
    try:
        return numbers.parse(texts, b"\n")
    except numbers.NotNumbers:
        suspect = deque([(0, len(texts))])
    while suspect:
        first, end = suspect.popleft()
        try:
            numbers.parse(texts[first:end], b"\n")
        except numbers.NotNumbers:
            if end - first == 1:
                texts[first] = _mended(paths[first].as_py(), texts[first], issues)
            else:
                suspect.extendleft([((first + end) // 2, end), (first, (first + end) // 2)])
    return numbers.parse(texts, b"\n")


def _fitting(ranges: pa.RecordBatch, issues: IssueLog) -> Integers:
    """The label files of a shard that are read, as far as their sizes go."""
    size = ranges["size"].to_numpy(zero_copy_only=False)
    small = size <= MAX_LABEL_BYTES
    fits = small & (np.cumsum(np.where(small, size, 0)) <= MAX_SHARD_BYTES)
    large = np.flatnonzero(~fits)
    report(
        issues,
        "LABEL_FILE_TOO_LARGE",
        ERROR,
        ranges["path"].take(pa.array(large)),
        np.zeros(len(large), np.int64),
        [f"the label file of one image has {size[i]:,} bytes" for i in large.tolist()],
        f"a label file has {MAX_LABEL_BYTES:,} bytes at most; look at what is in it",
    )
    return np.flatnonzero(fits)


def _mended(path: str, text: bytes, issues: IssueLog) -> bytes:
    """A label file with the lines emptied that hold anything but finite numbers; those become issues."""
    lines = text.split(b"\n")
    for i, line in enumerate(lines):
        tokens = line.translate(numbers.BLANKS).split()
        values: list[float] = []
        with suppress(ValueError):
            values = [float(token) for token in tokens]
        if len(values) < len(tokens) or not np.isfinite(values).all():
            bad = next(token for token in tokens if not _is_number(token))
            shown = bad[:40].decode(errors="replace")
            text_ = f"{shown!r} is no number"
            issues.add("LABEL_NOT_A_NUMBER", ERROR, path, text_, "a row is a class id and numbers from 0 to 1", i + 1)
            values = []
        lines[i] = " ".join(map(repr, values)).encode()
    return b"\n".join(lines)


def _is_number(token: bytes) -> bool:
    try:
        return bool(np.isfinite(float(token)))
    except ValueError:
        return False

"""`cvat-video`: CVAT for video 1.1, one XML file with an element for each track and in it a shape for each frame.

Between keyframes nothing is made up: what a file has is read and written, shapes that are outside too. Tracks of other
formats know no keyframes: all their shapes are keyframes, and where an object is gone it is written as outside, or CVAT
would show it on.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.geometry import Integers, spread
from framehouse.annotations.schema import Flag, Kind
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import ERROR, IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss
from services.conversion import columns
from services.conversion.archive import Archive
from services.conversion.cvat import files as cvat_files
from services.conversion.cvat import frames as cvat_frames
from services.conversion.cvat import meta as cvat_meta
from services.conversion.cvat import writing as cvat_writing
from services.conversion.cvat.shapes import Place, Shapes, Track, open_part
from services.conversion.cvat.writing import FILE, join
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead
from services.conversion.losses import losses_of

DEFAULT_SPLIT = "default"
FIRST = 10
"""Section of the file that the first track begins with; its head is the first section."""
MAX_SECTION = 1 << 30


class Tracks(msgspec.Struct, frozen=True):
    """The tracks that are written, in order; a value each."""

    track: list[int]
    """In the table."""
    label: list[int]
    group: list[int]
    """0 for none."""
    folder: list[int]
    id: list[int]
    """In the file."""
    has_keyframes: list[bool]
    source: list[str]


class Detail(msgspec.Struct, frozen=True):
    """What a write plan decides."""

    types: list[list[list[str]]]
    own_source: list[int]
    tasks: list[cvat_meta.Written]
    has_splits: bool
    tracks: Tracks
    ended: list[int]
    """Annotations, counted over all images, after which their track is outside in the next frame."""
    buckets: int
    """Runs of frames that one step writes; each track has a section for each, after the one that it begins with."""
    next_id: int
    """For annotations without a track."""


def detect(archive: Archive) -> Candidate | None:
    """An XML file with the root `annotations` and tracks in it."""
    return cvat_files.detect(archive, video=True)


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """Finds files, classes, frames and parts."""
    return cvat_frames.plan(archive, issues)


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads the shapes of the tracks of a part."""
    part = source.part
    assert part is not None
    detail, elements = open_part(source.bucket, part, issues)
    frames = cvat_frames.open_frames(source.bucket, detail.frames)
    shapes = Shapes(source.labels, part.path, issues)
    videos, numbers = (elements.where[name].to_pylist() for name in ("video", "track"))
    for i, line, node in elements.nodes:
        track = Track(numbers[i], node.get("label"), node.get("group_id"), node.get("source"))
        width, height = frames.sizes[videos[i]]
        times: dict[int, int] = {}
        for shape in node:
            row = frames.row(videos[i], shape.get("frame", ""))
            if row < 0:
                text = f"a shape of track {node.get('id')} has no number of a frame"
                at = line + (shape.sourceline if isinstance(shape.sourceline, int) else 1) - 1
                issues.add("ANNOTATION_WITHOUT_IMAGE", ERROR, part.path, text, "give it the attribute frame", at)
                continue
            # A track that is twice in a frame goes on counting elsewhere.
            times[row] = times.get(row, -1) + 1
            shapes.add(shape, Place(row, numbers[i] + (times[row] << 32), width, height), line, track)
    return shapes.table()


def scan(images: pa.Table, annotations: pa.Table) -> dict[str, pa.Array]:
    """What CVAT's formats look at, and the source of each annotation."""
    return cvat_writing.scan(images, annotations) | {"origin": cvat_writing.origins(annotations)}


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Numbers frames and tracks, and finds where tracks end."""
    attributes = cvat_writing.declare(annotations, labels)
    written = np.isin(annotations["kind"].to_numpy(), list(FORMAT.holds.kinds))
    losses = [*attributes.losses, *cvat_writing.shape_losses(annotations, written)]
    has_splits = bool(pc.any(pc.not_equal(images["split"], "")).as_py())
    folder = pc.index_in(images["folder"].combine_chunks(), pa.array(head.folders)).to_numpy().astype(np.int64)
    if not has_splits:
        folder[:] = 0
    frame = _frames(images, folder)
    order = np.lexsort([frame, folder])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    following = np.full(len(order), -1)
    joined = folder[order][:-1] == folder[order][1:]
    following[order[:-1][joined]] = frame[order[1:][joined]]

    image = annotations["image"].to_numpy()
    tracked = written & annotations["track"].is_valid().to_numpy()
    tracks, of, divided = _tracks(annotations, np.flatnonzero(tracked), folder)
    _own_sources(annotations.filter(pa.array(tracked)), of, tracks, attributes)
    ended = _ended(
        annotations, np.flatnonzero(tracked), of, rank[image], following[image], np.array(tracks.has_keyframes)
    )
    bucket = _buckets(order, head.shard_starts, len(tracks.id))
    text = "written as several tracks, for a track of CVAT has one class, one group and one split"
    losses += losses_of("TRACK_DIVIDED", "tracks", annotations, divided, text)
    alone = written & ~tracked
    text = "written as a track of one frame, outside in the next, for CVAT's videos have nothing but tracks"
    losses += losses_of("TRACK_ADDED", "annotations without a track", annotations, alone, text)
    target, renamed = _targets(images, frame, head.folders if has_splits else [])
    names = head.folders if has_splits else [""]
    tasks, other_sizes = _tasks(images, folder, frame, names, has_shapes=bool(written.any()))
    losses += [*renamed, *other_sizes]
    detail = Detail(
        attributes.types,
        attributes.own_source,
        tasks,
        has_splits,
        tracks,
        ended.tolist(),
        int(bucket.max()) + 1,
        max([-1, *tracks.id]) + 1,
    )
    added = {"target": target, "number": frame, "following": following, "rank": rank, "bucket": bucket, "of": folder}
    return Preparation({name: pa.array(v) for name, v in added.items()}, losses, msgspec.json.encode(detail).decode())


def _frames(images: pa.Table, folder: Integers) -> Integers:
    """The number of each frame: the one it has where no two of a split are the same, else counted from 0."""
    given = images["frame"]
    if not given.null_count:
        numbers: Integers = given.to_numpy()
        pairs = np.unique(np.stack([folder, numbers]), axis=1)
        if pairs.shape[1] == len(numbers) and numbers.min() >= 0:
            return numbers
    counts = np.bincount(folder)
    result = np.empty(len(folder), np.int64)
    result[np.argsort(folder, kind="stable")] = spread(np.zeros(len(counts), np.int64), counts)
    return result


def _targets(images: pa.Table, frame: Integers, folders: Sequence[str]) -> tuple[pa.Array, list[Loss]]:
    """Where images go, and how many get another name."""
    path = images["path"].combine_chunks()
    extension = pc.fill_null(pc.struct_field(pc.extract_regex(path, r"(?P<e>\.[^./]*)$"), "e"), "")
    name = join("frame_", pc.utf8_lpad(columns.text(frame), 6, "0"), extension)
    place = join("images/", images["folder"].combine_chunks(), "/") if folders else "images/"
    changed = pc.not_equal(images["name"].combine_chunks(), name)
    count = int(pc.sum(changed).as_py() or 0)
    text = f"{count:,} images are called by the number of their frame, as frame_000000"
    losses = [Loss(code="NAME_CHANGED", subject="image names", image_count=count, fallback=text)] if count else []
    return join(place, name), losses


def _tasks(
    images: pa.Table, folder: Integers, frame: Integers, names: Sequence[str], *, has_shapes: bool
) -> tuple[list[cvat_meta.Written], list[Loss]]:
    """What is said of the frames of each folder: that they are a video where all have one size, else images, and a size
    that holds all of them; and how many are without their own by that.
    """
    found, without = [], 0
    sizes = np.stack([pc.fill_null(images[name], 0).to_numpy() for name in ("width", "height")], axis=1)
    for i, name in enumerate(names):
        mine = np.flatnonzero(folder == i)
        numbers = np.sort(frame[mine]).tolist()
        (width, height), mode = sizes[mine].max(axis=0).tolist(), cvat_meta.OF_VIDEO
        if (sizes[mine] != (width, height)).any():
            without += len(mine)
            if has_shapes:
                mode = cvat_meta.OF_IMAGES
            else:
                # By their mode alone files without tracks are known to be of videos; and no shape needs a size there.
                width = height = 0
        step = cvat_writing.frame_step(numbers)
        found.append(cvat_meta.Written(name, len(mine), numbers[0], numbers[-1], step, width, height, mode))
    text = "written without their own, for CVAT says one size of a video; the images have theirs"
    lost = Loss(code="IMAGE_SIZE_UNSUPPORTED", subject="frames of several sizes", image_count=without, fallback=text)
    return found, [lost] if without else []


def _tracks(annotations: pa.Table, at: Integers, folder: Integers) -> tuple[Tracks, Integers, NDArray[np.bool_]]:
    """The tracks of the annotations `at`, which of them each belongs to, and which annotations are of a track that had
    to be divided.
    """
    mine = annotations.take(pa.array(at))
    value = mine["track"].to_numpy()
    keys = np.stack([value, *_rest(mine, folder)], axis=1) if len(at) else np.zeros((0, 4), np.int64)
    found, first, of = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    of = of.reshape(-1)
    ids, taken = [], set[int]()
    spare = int(value.max(initial=-1)) + 1
    several = np.bincount(np.searchsorted(np.unique(value), found[:, 0])) > 1
    for number in found[:, 0].tolist():
        if number < 0 or number in taken:
            ids.append(spare)
            spare += 1
        else:
            ids.append(number)
        taken.add(number)
    divided = np.zeros(annotations.num_rows, bool)
    divided[at] = several[np.searchsorted(np.unique(value), value)] if len(at) else False
    keyframes = np.bincount(of, mine["flags"].to_numpy() & Flag.KEYFRAME > 0, len(found)) > 0
    sources = [one or "" for one in mine["origin"].take(pa.array(first)).to_pylist()]
    track, label, group, part = (found[:, i].tolist() for i in range(found.shape[1]))
    tracks = Tracks(track, label, group, part, ids, keyframes.tolist(), sources)
    return tracks, of, divided


def _own_sources(annotations: pa.Table, of: Integers, tracks: Tracks, attributes: cvat_writing.Attributes) -> None:
    """A class that has a track whose shapes have several sources gets an attribute of that name."""
    sources = pc.fill_null(annotations["origin"], "").combine_chunks().dictionary_encode().indices.to_numpy()
    pairs = np.unique(np.stack([of, sources]), axis=1)[0]
    for track in np.flatnonzero(np.bincount(pairs, minlength=1) > 1).tolist():
        label = tracks.label[track]
        if label not in attributes.own_source:
            attributes.own_source.append(label)
            if label >= 0:
                attributes.types[label].append(["source", "text"])
    for track, label in enumerate(tracks.label):
        if label in attributes.own_source:
            tracks.source[track] = ""


def _rest(annotations: pa.Table, folder: Integers) -> list[Integers]:
    """What a track has one of, beside its number: label, group and folder."""
    group = pc.fill_null(annotations["group"], 0).to_numpy()
    return [annotations["label"].to_numpy().astype(np.int64), group, folder[annotations["image"].to_numpy()]]


def _ended(
    annotations: pa.Table, at: Integers, of: Integers, rank: Integers, following: Integers, keyed: NDArray[np.bool_]
) -> Integers:
    """Of tracks without keyframes the annotations after which there is a frame without the object."""
    if not len(at):
        return at
    place = rank[at]
    order = np.lexsort([place, of])
    after = np.full(len(at), -1)
    same = of[order][:-1] == of[order][1:]
    after[order[:-1][same]] = place[order[1:][same]]
    outside = annotations["flags"].to_numpy()[at] & Flag.OUTSIDE > 0
    gone = (following[at] >= 0) & ((after < 0) | (after > place + 1)) & ~outside & ~keyed[of]
    # Twice in one frame ends once.
    return np.sort(at[gone])


def _buckets(order: Integers, shard_starts: list[int], tracks: int) -> Integers:
    """Numbers images so that those of a number are written by one step, and numbers ascend as frames do."""
    shard = np.searchsorted(shard_starts, np.arange(len(order)), side="right") - 1
    runs = np.cumsum(np.diff(shard[order], prepend=shard[order[:1]]) != 0)
    if (int(runs[-1]) + 2) * tracks > MAX_SECTION:
        # Frames that lie in no order at all: their shapes are ordered within each step alone.
        return shard
    result = np.empty(len(order), np.int64)
    result[order] = runs
    return result


def write(rows: Rows, bundle: BundleWriter) -> None:
    """The shapes of a run of frames: a piece for each track, and one for those that have none."""
    detail = msgspec.json.decode(rows.head.detail, type=Detail)
    annotations = rows.annotations
    image = annotations["image"].to_numpy()
    counts = np.bincount(image, minlength=rows.images.num_rows)
    place = spread(rows.images["first"].to_numpy(), counts)
    kept = np.isin(annotations["kind"].to_numpy(), list(FORMAT.holds.kinds)) & cvat_writing.writable(annotations)
    annotations, image, place = annotations.filter(pa.array(kept)), image[kept], place[kept]
    of = _track_of(annotations, detail.tracks, rows.images["of"].to_numpy())
    rank = rows.images["rank"].to_numpy()[image]
    order = np.lexsort([rank, of])
    annotations, image, place, of = annotations.take(pa.array(order)), image[order], place[order], of[order]
    if not len(of):
        return
    # Flags of tracks that know no keyframes: each shape is one.
    keyed = np.append(np.array(detail.tracks.has_keyframes, bool), False)[of]
    flags = annotations["flags"].to_numpy() | np.where(keyed, 0, int(Flag.KEYFRAME)).astype(np.int32)
    annotations = _with_flags(annotations, flags)
    shown = _shape_texts(annotations, rows.labels, detail, rows.images["number"].to_numpy()[image])
    following = rows.images["following"].to_numpy()[image]
    ends = np.flatnonzero(np.isin(place, np.array(detail.ended, np.int64)) | ((of < 0) & (following >= 0)))
    texts = shown
    if len(ends):
        gone = _with_flags(annotations.take(pa.array(ends)), flags[ends] | np.int32(Flag.OUTSIDE), hidden=True)
        closing = _shape_texts(gone, rows.labels, detail, following[ends])
        at = np.full(len(of), len(ends))
        at[ends] = np.arange(len(ends))
        texts = join(shown, pa.concat_arrays([closing, pa.array([""])]).take(pa.array(at)))
    alone = of < 0
    if alone.any():
        section = _section(detail, len(detail.tracks.id)) + 1
        bundle.piece(FILE, section, _lone_tracks(annotations, texts, place, detail, rows))
    bucket = rows.images["bucket"].to_numpy()[image]
    sections = FIRST + of * (detail.buckets + 1) + 1 + bucket
    mine = np.flatnonzero(~alone)
    bounds = np.flatnonzero(np.diff(sections[mine], prepend=-1, append=-1)).tolist() if len(mine) else []
    listed = texts.to_pylist()
    for first, end in pairwise(bounds):
        data = "".join(listed[mine[first] : mine[end - 1] + 1]).encode()
        bundle.piece(FILE, int(sections[mine[first]]), data)


def _section(detail: Detail, track: int) -> int:
    """The section that a track begins with; those of its shapes follow."""
    return FIRST + track * (detail.buckets + 1)


def _track_of(annotations: pa.Table, tracks: Tracks, folder: Integers) -> Integers:
    """Which track each annotation belongs to, -1 for none."""
    known = {key: i for i, key in enumerate(zip(tracks.track, tracks.label, tracks.group, tracks.folder, strict=True))}
    track = annotations["track"]
    valid = track.is_valid().to_numpy()
    keys = zip(
        pc.fill_null(track, 0).to_pylist(), *(column.tolist() for column in _rest(annotations, folder)), strict=True
    )
    return np.array([known[key] if there else -1 for key, there in zip(keys, valid.tolist(), strict=True)], np.int64)


def _with_flags(annotations: pa.Table, flags: Integers, *, hidden: bool = False) -> pa.Table:
    """The same with other flags; `hidden` also hides all points of skeletons."""
    at = annotations.schema.get_field_index("flags")
    annotations = annotations.set_column(at, "flags", pa.array(flags.astype(np.int32)))
    skeletons = annotations["kind"].to_numpy() == Kind.SKELETON
    if not hidden or not skeletons.any():
        return annotations
    lengths = pc.divide(pc.list_value_length(pc.list_element(annotations["rings"].filter(pa.array(skeletons)), 0)), 2)
    seen: list[list[int] | None] = [None] * len(skeletons)
    for i, count in zip(np.flatnonzero(skeletons).tolist(), lengths.to_pylist(), strict=True):
        seen[i] = [0] * count
    at = annotations.schema.get_field_index("visibility")
    return annotations.set_column(at, "visibility", pa.array(seen, pa.list_(pa.int8())))


def _shape_texts(annotations: pa.Table, labels: LabelSchema, detail: Detail, frames: Integers) -> pa.Array:
    parts = cvat_writing.texts(annotations, labels, detail.own_source, video=True)
    flags = annotations["flags"].to_numpy()
    said = [(" keyframe", Flag.KEYFRAME), (" outside", Flag.OUTSIDE), (" occluded", Flag.OCCLUDED)]
    bits = [part for name, flag in said for part in (f'"{name}="', cvat_writing.bit(flags, flag))]
    return join(
        *("    <", parts.names, ' frame="', columns.text(frames), *bits, '"', parts.geometry, parts.order),
        *(">", parts.children, "</", parts.names, ">\n"),
    )


def _lone_tracks(annotations: pa.Table, texts: pa.Array, place: Integers, detail: Detail, rows: Rows) -> bytes:
    """Tracks of the annotations that have none, which come first."""
    count = int(annotations["track"].null_count)
    mine, texts = annotations.slice(0, count), texts.slice(0, count)
    group = cvat_writing.texts(mine, rows.labels, detail.own_source, video=True).group
    folder = rows.images["of"].to_numpy()[mine["image"].to_numpy()]
    heads = [_task_text(detail, i) for i in range(len(detail.tasks))]
    whole = join(
        *('  <track id="', columns.text(detail.next_id + place[:count]), '" label="'),
        *(cvat_writing.label_texts(rows.labels, mine["label"].to_numpy()), '" source="'),
        *(cvat_writing.sources(mine, detail.own_source), '"', pa.array(heads).take(pa.array(folder)), group, ">\n"),
        *(texts, "  </track>\n"),
    )
    return "".join(whole.to_pylist()).encode()


def _task_text(detail: Detail, folder: int) -> str:
    """What a track says of its task, where there are several."""
    name = cvat_meta.escape(detail.tasks[folder].split)
    return f' task_id="{folder}" subset="{name}"' if detail.has_splits else ""


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """The head and the end of the file, and those of the tracks."""
    detail = msgspec.json.decode(head.detail, type=Detail)
    same = head.source_format == FORMAT.id and not detail.has_splits
    meta = cvat_meta.meta_text(labels, detail.types, detail.tasks, kept=same)
    bundle.piece(FILE, 1, cvat_writing.HEAD + meta.encode())
    names = [cvat_meta.escape(label.name) for label in labels.labels] + [""]
    tracks, before = detail.tracks, ""
    for i, number in enumerate(tracks.id):
        group = f' group_id="{tracks.group[i]}"' if tracks.group[i] else ""
        text = (
            f'{before}  <track id="{number}" label="{names[tracks.label[i]]}" '
            f'source="{tracks.source[i] or "manual"}"{_task_text(detail, tracks.folder[i])}{group}>\n'
        )
        bundle.piece(FILE, _section(detail, i), text.encode())
        before = "  </track>\n"
    # After the last track come those that were none, and those are whole.
    last = _section(detail, len(tracks.id))
    bundle.piece(FILE, last, before.encode())
    bundle.piece(FILE, last + 2, cvat_writing.END)


FORMAT = Format(
    id="cvat-video",
    title="CVAT for video 1.1",
    aliases=("cvat-video-1.1",),
    holds=Holds(
        kinds=frozenset(Kind) - {Kind.TAG, Kind.CUBOID_3D, Kind.CAPTION},
        attributes=True,
        flags=frozenset({Flag.OCCLUDED, Flag.OUTSIDE, Flag.KEYFRAME}),
        tracks=True,
        groups=True,
        unlabelled=True,
        z_order=True,
    ),
    detect=detect,
    plan=plan,
    read=read,
    default_split=DEFAULT_SPLIT,
    columns=(*cvat_writing.SHAPE_COLUMNS, "track"),
    plan_columns=("track", "group"),
    scan_columns=cvat_writing.SCANNED,
    scan=scan,
    image_columns=("frame",),
    prepare=prepare,
    write=write,
    finish=finish,
    layout="""
annotations.xml
images/frame_000000.png              without splits
images/<subset>/frame_000000.png     with splits, as a project
""",
    notes=(
        "What a file has is kept: the shape of every frame, keyframe or not, outside or not. Nothing is interpolated.",
        "Images are found by the number of their frame, in a name like frame_000010 or as a frame of a video of the "
        "archive; where no name has one, in the order of their names (FRAMES_BY_ORDER). Where the archive holds no "
        "images, the meta says which frames there are, and of which size.",
        "A video has one size. Frames of several sizes are written as a task of images (mode `annotation`), with a "
        "size that holds all of them, which is only read as that of images that are not there.",
        "The split is the `subset` of the task; Datumaro takes the name of the file instead.",
        "An annotation without a track is written as a track of one frame, which is outside in the next.",
        "All shapes of a track that knows no keyframes are written as keyframes, and the object as outside where it is "
        "gone, since CVAT would show it on.",
        "A track of several classes, groups or splits is written as several.",
        "`source` is kept as an attribute where it is another than manual, one for each track.",
        "Attributes, skeletons, masks and numbers are as in cvat-images. Datumaro reads no masks in tracks.",
    ),
)

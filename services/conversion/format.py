"""What a format is: a declaration of what it can hold, and functions on columns.

A module in `services/conversion/formats/` that defines `FORMAT` is found by `services.conversion.registry`. Its
functions get everything they need as arguments and know nothing of jobs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from framehouse.annotations.plan import Part
from framehouse.annotations.schema import Flag, Kind
from framehouse.store.bucket import Bucket
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import Loss, ReadOptions, WriteOptions
from services.conversion.archive import Archive


@dataclass(frozen=True)
class Holds:
    """What survives in a format. The loss report is made from this."""

    kinds: frozenset[Kind]
    fallbacks: Mapping[Kind, str] = field(default_factory=dict)
    """Kinds that are written as another, and what they become, in words. Those in neither are left out."""
    attributes: bool = False
    crowd: bool = False
    score: bool = False
    tracks: bool = False
    flags: frozenset[Flag] = frozenset()
    """Beside `CROWD`, which `crowd` says."""
    groups: bool = False
    unlabelled: bool = False
    """Whether an annotation may be of no class; captions always may."""
    z_order: bool = False
    splits: frozenset[str] = frozenset()
    """Splits that it tells apart; empty means any."""


@dataclass(frozen=True)
class Candidate:
    """How sure a format is that an archive is its own, from 0 to 1, and why."""

    confidence: float
    reason: str


@dataclass(frozen=True)
class ReadPlan:
    """What there is to read."""

    images: pa.Table
    """PLAN_FIELDS and the format's own columns, in the order of `layout.in_archive_order`."""
    labels: LabelSchema
    parts: list[Part] | None
    """None where the labels are read shard by shard, with what media made of the shard (aligned)."""


@dataclass(frozen=True)
class LabelSource:
    """What one step reads: a part, or the labels of a shard."""

    bucket: Bucket
    labels: LabelSchema
    part: Part | None
    """None where the plan is aligned."""
    images: pa.RecordBatch | None = None
    """The shard's rows of the plan; None where the plan is not aligned."""
    media: pa.RecordBatch | None = None
    first_row: int = 0
    """Of the shard in the plan."""
    options: ReadOptions = field(default_factory=ReadOptions)
    columns: frozenset[str] = frozenset()
    """Annotation columns that are wanted; none means all. A format may fill others too: they are dropped."""
    opened: dict[str, Any] = field(default_factory=dict)
    """What those who read the same step have opened and will need again, by key."""

    def wants(self, *columns: str) -> bool:
        """Whether any of these columns is wanted."""
        return not self.columns or not self.columns.isdisjoint(columns)


class WriteHead(msgspec.Struct, frozen=True):
    """What a write plan says as a whole; it lies in the metadata of the plan's schema, beside the labels."""

    format: str
    table_key: str
    table_version: int
    source_format: str
    shard_starts: list[int]
    """Row of the plan at which each shard begins, and the number of rows at the end."""
    folders: list[str]
    """Names that the splits are written under, in the order train, val, test, others by name."""
    options: bytes
    """A serialised WriteOptions."""
    label_map: list[int]
    """The label that is written for each of the table's, -1 where its annotations are written without one, -2 where
    they are not written. The labels written lie in the plan's schema."""
    hides: bool = False
    """Whether there are objects that are outside of their image, which the format cannot say: they are not written."""
    paired: bool = False
    """Whether objects may have a skeleton and an outline (`services.conversion.pairs`)."""
    task: int = 0
    """The `Task` whose annotations are written."""
    url_end: int = 0
    """Seconds since 1970 after which the URLs of images are dead, where there are any."""
    image_count: int = 0
    annotation_count: int = 0
    split_counts: dict[str, int] = {}
    """Images that are written of each split."""
    class_counts: list[int] = []
    """Annotations that are written of each class that is."""
    dataset: bytes = b""
    """A serialised Dataset, where more is to be said of it than the source did."""
    detail: str = ""
    """What the format needs besides, in its own words (JSON)."""

    def asked(self) -> WriteOptions:
        """The options that the plan was made with."""
        return WriteOptions.FromString(self.options)


@dataclass(frozen=True)
class Preparation:
    """What a format adds to a write plan."""

    columns: dict[str, pa.Array] = field(default_factory=dict)
    """One value an image. A `target` takes the place of the usual one; null leaves the image out."""
    losses: list[Loss] = field(default_factory=list)
    """Beside those that follow from `Holds`."""
    detail: str = ""


@dataclass(frozen=True)
class Rows:
    """What one step writes: a run of images, and their annotations."""

    images: pa.Table
    """The write plan's columns (folder, name below it, target, number of annotations before, the format's own), and
    width, height, state and the format's `image_columns` of the table; `url` where URLs of images were asked for."""
    annotations: pa.Table
    """Flat; `image` is the row in `images`, ascending. Only the columns that the format reads."""
    labels: LabelSchema
    head: WriteHead


@dataclass(frozen=True, kw_only=True)
class Readable:
    """A format that is read. `id` is what a user types."""

    id: str
    title: str
    holds: Holds
    detect: Callable[[Archive], Candidate | None]
    """Looks at an archive's index, and at the beginnings of few files."""
    plan: Callable[[Archive, IssueLog], ReadPlan]
    """Finds images, splits, labels and parts. InvalidArgument where the archive is not of the format."""
    read: Callable[[LabelSource, IssueLog], pa.Table]
    """Reads label files to flat annotations (ANNOTATION_SCHEMA); `image` is the row in the plan."""
    aliases: tuple[str, ...] = ()
    layout: str = ""
    """How its files lie in an archive; lines of text, for the documentation."""
    notes: tuple[str, ...] = ()
    """Where it rounds or shifts, and how it differs from what others make of it; a sentence each."""
    options: tuple[str, ...] = ()
    """Fields of ReadOptions and WriteOptions that only some formats know, as `services.conversion.options` has them."""


@dataclass(frozen=True, kw_only=True)
class Format(Readable):
    """A format that is read and written."""

    default_split: str
    """Folder that images without a split are written under."""
    columns: tuple[str, ...]
    """Annotation columns that `write` looks at."""
    plan_columns: tuple[str, ...]
    """Annotation columns that `prepare` looks at, beside kind, label and flags."""
    prepare: Callable[[pa.Table, pa.Table, LabelSchema, WriteHead], Preparation]
    """Decides what needs a look at all images: (images of the write plan, flat annotations, labels, head)."""
    write: Callable[[Rows, BundleWriter], None]
    """Writes the label files, or pieces of files, of a run of images. The images are copied by the caller."""
    finish: Callable[[LabelSchema, WriteHead, BundleWriter], None]
    """Writes what speaks of the whole dataset."""
    image_columns: tuple[str, ...] = ()
    """Image columns that `prepare` and `write` look at, beside those that all get."""
    scan_columns: tuple[str, ...] = ()
    """Annotation columns, too large to be held at once, that `scan` looks at."""
    scan: Callable[[pa.Table, pa.Table], dict[str, pa.Array]] | None = None
    """What `prepare` gets to know of them: more columns of the flat annotations, made batch by batch of images and
    their annotations. They are small, and null where there is nothing to say: they are held of the whole dataset."""
    spared: Callable[[str, WriteOptions], tuple[str, ...]] | None = None
    """Those of `columns` that `write` does not look at, of a dataset that came in some format, with some options."""
    images_alone: bool = False
    """Whether nothing is written beside the images."""
    spelled_by: tuple[str, ...] = ()
    """Formats whose spelling of splits is its own too; what came in as one of them goes out as it was spelled."""

    def columns_of(self, source_format: str, options: WriteOptions) -> tuple[str, ...]:
        """Annotation columns that `write` looks at, of a dataset that came in `source_format`, with these options."""
        spared = self.spared(source_format, options) if self.spared else ()
        return tuple(name for name in self.columns if name not in spared)

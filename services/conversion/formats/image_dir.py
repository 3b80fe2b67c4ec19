"""`image-dir`: images and nothing else. A folder called train, val or test (in any of their spellings) is a split.

Read: every image, without annotations. Written: `images/<split>/<path>`, where images without a split are in `default`.
"""

import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations.schema import ANNOTATION_SCHEMA
from framehouse.annotations.splits import canonical_split
from framehouse.runtime import errors
from framehouse.store.bundle import BundleWriter
from framehouse.store.issues import IssueLog
from framehouse.v1.annotation_pb2 import LabelSchema
from services.conversion import images_alone, layout
from services.conversion.archive import Archive
from services.conversion.format import Candidate, Format, Holds, LabelSource, Preparation, ReadPlan, Rows, WriteHead

LABEL_EXTENSIONS = ("txt", "json", "jsonl", "ndjson", "xml", "yaml", "yml", "csv", "parquet")
"""Files that may hold annotations: an archive with any of them is taken for mere images only on demand."""
DEFAULT_FOLDER = "default"


def detect(archive: Archive) -> Candidate | None:
    """Images, and no file that could be labels."""
    count = len(archive.images())
    if not count or len(archive.with_extension(*LABEL_EXTENSIONS)):
        return None
    return Candidate(0.6, f"{count:,} images and no label files")


def plan(archive: Archive, issues: IssueLog) -> ReadPlan:
    """All images, with the splits that their folders name."""
    rows = archive.images()
    if not len(rows):
        raise errors.InvalidArgument("the archive holds no images; pack some", reason="IMAGES_MISSING")
    files = archive.paths.take(pa.array(rows))
    names, folders = layout.below_split(files)
    names = pc.replace_substring_regex(names, rf"^{DEFAULT_FOLDER}/", "")
    splits = pa.array([canonical_split(folder) for folder in folders], pa.string())
    columns = {
        "path": layout.identities(names, splits, files),
        "split": splits,
        "split_name": pa.array(folders, pa.string()),
    }
    return ReadPlan(layout.in_archive_order(layout.plan_table(archive, rows, columns)), LabelSchema(), [])


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """There is nothing to read; a plan without parts asks for nothing."""
    return ANNOTATION_SCHEMA.empty_table()


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """The images lie where all formats put them; those without bytes are left out."""
    target, losses = images_alone.with_bytes(images, images["target"].combine_chunks())
    return Preparation({"target": target}, losses)


def write(rows: Rows, bundle: BundleWriter) -> None:
    """Nothing beside the images."""


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Nothing beside the images."""


FORMAT = Format(
    id="image-dir",
    title="Images without labels",
    aliases=("images", "image-zip"),
    holds=Holds(kinds=frozenset()),
    detect=detect,
    plan=plan,
    read=read,
    default_split=DEFAULT_FOLDER,
    columns=("kind",),
    plan_columns=(),
    image_columns=images_alone.COLUMNS,
    images_alone=True,
    prepare=prepare,
    write=write,
    finish=finish,
    layout="""
images/train/1.jpg
images/val/2.jpg
""",
    notes=("Folders called train, val or test, in any of their spellings, are splits; images may lie anywhere.",),
)

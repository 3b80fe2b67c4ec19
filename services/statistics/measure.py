"""Measures a dataset's table by whole columns, in batches; no Python object exists per image or per annotation.

Medians are exact. For them, the numbers of an image are held together (24 bytes an image), and then the sides and areas
of boxes, one of the three after the other (8 bytes an annotation); nothing else grows with the dataset.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.schema import Kind
from framehouse.annotations.splits import split_rank
from framehouse.v1 import annotation_pb2, dataset_pb2, statistics_pb2

ROWS = 8192
"""Images of a batch."""
BINS = 20

Scan = Callable[[list[str]], Iterable[pa.RecordBatch]]
"""Reads the named columns of the table, all rows in an order that never changes."""
Floats = NDArray[np.float64]


def measure(scan: Scan, labels: annotation_pb2.LabelSchema) -> statistics_pb2.Statistics:
    """The numbers of a table; `dataset` and `table_version` are left to the caller."""
    counts = _Counts(len(labels.labels))
    for batch in scan(["split", "width", "height", "bytes", "format", "kind", "label"]):
        counts.add(batch)
    objects = _joined(counts.objects)
    boxes = counts.annotations
    return statistics_pb2.Statistics(
        image_count=len(objects),
        annotated_image_count=int(np.count_nonzero(objects)),
        annotation_count=boxes,
        splits=[
            dataset_pb2.SplitCount(split=split, image_count=counts.splits[split])
            for split in sorted(counts.splits, key=split_rank)
        ],
        classes=[
            statistics_pb2.ClassStatistics(
                label=label.name,
                annotation_count=int(counts.label_annotations[i]),
                image_count=int(counts.label_images[i]),
            )
            for i, label in enumerate(labels.labels)
        ],
        kinds=[
            statistics_pb2.KindCount(kind=Kind(kind).name.lower(), annotation_count=int(count))
            for kind, count in enumerate(counts.kinds)
            if count
        ],
        objects_per_image=distribution(objects),
        image_width=distribution(_joined(counts.widths)),
        image_height=distribution(_joined(counts.heights)),
        image_bytes=distribution(_joined(counts.sizes)),
        box_width=distribution(_gathered((_boxes(batch)[:, 2] for batch in scan(["bbox"])), boxes)),
        box_height=distribution(_gathered((_boxes(batch)[:, 3] for batch in scan(["bbox"])), boxes)),
        box_relative_area=distribution(
            _gathered((_relative_areas(batch) for batch in scan(["width", "height", "bbox"])), boxes)
        ),
        image_formats=[
            statistics_pb2.FormatCount(format=format, image_count=count)
            for format, count in sorted(counts.formats.items(), key=lambda item: (-item[1], item[0]))
        ],
    )


def distribution(values: Floats) -> statistics_pb2.Distribution:
    """Sums a column of numbers up. `values` is reordered."""
    if not len(values):
        return statistics_pb2.Distribution()
    low, high = float(values.min()), float(values.max())
    # NumPy would widen a range of no width.
    histogram = np.histogram(values, BINS, (low, high))[0] if low < high else [len(values)] + [0] * (BINS - 1)
    return statistics_pb2.Distribution(
        count=len(values),
        min=low,
        max=high,
        mean=float(values.mean()),
        median=float(np.median(values, overwrite_input=True)),
        histogram=(int(count) for count in histogram),
    )


class _Counts:
    """What one pass over everything but the boxes counts."""

    def __init__(self, labels: int) -> None:
        self.annotations = 0
        self.splits: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.kinds = np.zeros(max(Kind) + 1, np.int64)
        self.label_annotations = np.zeros(labels, np.int64)
        self.label_images = np.zeros(labels, np.int64)
        self.objects: list[NDArray[np.int32]] = []
        self.widths: list[NDArray[np.int32]] = []
        self.heights: list[NDArray[np.int32]] = []
        self.sizes: list[NDArray[np.int64]] = []

    def add(self, batch: pa.RecordBatch) -> None:
        for column, counter in (("split", self.splits), ("format", self.formats)):
            for item in pc.value_counts(batch[column].drop_null()).to_pylist():
                counter[item["values"]] += item["counts"]
        for column, values in (("width", self.widths), ("height", self.heights), ("bytes", self.sizes)):
            values.append(batch[column].drop_null().to_numpy())
        kinds = pc.list_flatten(batch["kind"]).to_numpy()
        self.annotations += len(kinds)
        self.kinds += np.bincount(kinds, minlength=len(self.kinds))
        self.objects.append(pc.list_value_length(batch["kind"]).to_numpy())

        label = pc.list_flatten(batch["label"]).to_numpy().astype(np.int64)
        image = pc.list_parent_indices(batch["label"]).to_numpy()
        image, label = image[label >= 0], label[label >= 0]
        total = len(self.label_annotations)
        self.label_annotations += np.bincount(label, minlength=total)
        pairs = np.unique(image * total + label)  # each class once an image
        self.label_images += np.bincount(pairs % total if total else pairs, minlength=total)


def _boxes(batch: pa.RecordBatch) -> Floats:
    """x, y, width, height of every envelope in the batch."""
    boxes = pc.list_flatten(batch["bbox"]).drop_null()
    flat: Floats = pc.list_flatten(boxes).to_numpy().reshape(-1, 4)
    return flat


def _relative_areas(batch: pa.RecordBatch) -> Floats:
    """Area of every envelope over that of its image; images of unknown size are left out."""
    known = batch.filter(pc.and_(pc.is_valid(batch["width"]), pc.is_valid(batch["height"])))
    images = known["width"].to_numpy().astype(np.float64) * known["height"].to_numpy()
    has_box = pc.list_flatten(known["bbox"]).is_valid().to_numpy(zero_copy_only=False)
    image = pc.list_parent_indices(known["bbox"]).to_numpy()[has_box]
    boxes = _boxes(known)
    areas: Floats = boxes[:, 2] * boxes[:, 3] / images[image]
    return areas


def _gathered(parts: Iterable[Floats], at_most: int) -> Floats:
    """The parts as one array, allocated once."""
    values = np.empty(at_most)
    end = 0
    for part in parts:
        values[end : end + len(part)] = part
        end += len(part)
    return values[:end]


def _joined(parts: Sequence[NDArray[np.int32] | NDArray[np.int64]]) -> Floats:
    return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)

"""Reading Pascal VOC shard by shard: objects of XML files, masks, and tags of what lists say and no object does.

Instance n of a file of masks is the n-th object of the XML file, as in the challenge: where both are of one class they
are one group, as an object and its parts are.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Kind
from framehouse.store.issues import ERROR, WARNING, IssueLog
from framehouse.store.packs import read_entries
from services.conversion import columns, layout
from services.conversion.format import LabelSource
from services.conversion.voc import masks as voc_masks
from services.conversion.voc import xml as voc_xml
from services.conversion.voc.planning import CLASS_FILE, INSTANCE_FILE, XML
from services.conversion.voc.xml import Object, Refused


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads the XML files and masks of a shard's usable images, and what lists say of them."""
    assert source.images is not None and source.media is not None
    position = {label.name: i for i, label in enumerate(source.labels.labels)}
    objects: list[Object] = []
    for i, path, data in _files(source, XML, issues):
        try:
            problems = voc_xml.read(voc_xml.parse(data), i, position, objects)
        except Refused as refusal:
            issues.add(refusal.code, ERROR, path, refusal.text, refusal.remedy, refusal.line)
            continue
        for one in problems:
            severity = WARNING if one.code == "RING_TOO_SHORT" else ERROR
            issues.add(one.code, severity, path, one.text, one.remedy, one.line)
    return _assemble(source, objects, _read_masks(source, issues))


def _files(source: LabelSource, prefix: str, issues: IssueLog) -> Iterator[tuple[int, str, bytes]]:
    """Row, path and bytes of one file of each usable image that has it."""
    assert source.images is not None and source.media is not None
    names = ["path", *layout.RANGE_COLUMNS]
    there = pc.and_(source.media["usable"], pc.is_valid(source.images[f"{prefix}_object"]))
    at = np.flatnonzero(there.to_numpy(zero_copy_only=False))
    ranges = source.images.select([f"{prefix}_{name}" for name in names]).take(pa.array(at)).rename_columns(names)
    paths = ranges["path"].to_pylist()
    for k, entry in read_entries(source.bucket, ranges):
        if entry.damage:
            text = f"the label file is damaged: {entry.damage}"
            issues.add("ENTRY_DAMAGED", ERROR, paths[k], text, "pack and send the archive again")
            continue
        yield int(at[k]), paths[k], entry.data


def _read_masks(source: LabelSource, issues: IssueLog) -> voc_masks.Found:
    assert source.media is not None
    found = voc_masks.Found()
    packed = {prefix: _files(source, prefix, issues) for prefix in (CLASS_FILE, INSTANCE_FILE)}
    instances = {i: (path, data) for i, path, data in packed[INSTANCE_FILE]}
    classes = {i: (path, data) for i, path, data in packed[CLASS_FILE]}
    find = voc_masks.lookup(source.labels)
    for i in sorted(instances.keys() | classes.keys()):
        rasters = []
        size = source.media["height"][i].as_py(), source.media["width"][i].as_py()
        for path, data in (classes.get(i, ("", b"")), instances.get(i, ("", b""))):
            raster = _decode(path, data, issues) if path else None
            if raster is not None and size[0] is not None and raster.codes.shape != size:
                height, width = raster.codes.shape
                text = f"the masks have {width} × {height} pixels, the image has {size[1]} × {size[0]}"
                issues.add("IMAGE_SIZE_DIFFERS", WARNING, path, text, "check that the masks belong to this image")
            rasters.append(raster)
        of_classes, of_instances = rasters
        if of_classes is not None and of_instances is not None and of_classes.codes.shape != of_instances.codes.shape:
            of_instances = None
        if of_classes is None and of_instances is None:
            continue
        unknown = voc_masks.read(i, of_classes, of_instances, find, found)
        if len(unknown) and of_classes is not None:
            named = voc_masks.named(of_classes, unknown)
            text = f"pixels of {named} belong to no class; what they say of classes was left out"
            issues.add("MASK_CLASS_UNKNOWN", ERROR, classes[i][0], text, "add the class and its colour to labelmap.txt")
    return found


def _decode(path: str, data: bytes, issues: IssueLog) -> voc_masks.Raster | None:
    try:
        return voc_masks.decode(data)
    except voc_masks.Unreadable as error:
        text = f"the file of masks cannot be read: {error}"
        issues.add("MASK_FILE_UNREADABLE", ERROR, path, text, "export or download it again")
        return None


def _assemble(source: LabelSource, objects: list[Object], found: voc_masks.Found) -> pa.Table:
    """Objects, masks and tags as flat annotations: those of an image in this order, counted from 1."""
    count, mask_count = len(objects), len(found.image)
    names = zip(*objects, strict=True) if objects else ([] for _ in Object._fields)
    of, _, label, kind, corners, flags, attributes, rings, rotation = (list(values) for values in names)
    leader, mask_labels = _relate(objects, found)
    tag_image, tag_label = _read_tags(source, set(zip(of, label, strict=True)))
    tag_count = len(tag_image)
    rest = mask_count + tag_count

    image = np.array([*of, *found.image, *tag_image], np.int64)
    order = np.argsort(image, kind="stable")
    image = image[order]
    ids = np.arange(len(image)) - np.searchsorted(image, image) + 1
    id_of = np.append(ids, 0)
    id_of[order] = ids
    leader = np.append(leader, np.full(tag_count, -1))[order]
    place = pa.array(order)
    is_mask = (order >= count) & (order < count + mask_count)
    at_mask = pa.array(np.where(is_mask, order - count, 0), mask=~is_mask)
    runs, size = found.runs(), np.array(found.size, np.int64).reshape(-1, 2)
    boxes = np.array(corners, np.float64).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    boxes = np.concatenate([boxes, masks.envelopes(runs, size[:, 0]), np.full((tag_count, 4), np.nan)])
    drawn = pa.FixedSizeListArray.from_arrays(pa.array(size.astype(np.int32).reshape(-1)), 2)
    kinds = [*kind, *[int(Kind.MASK)] * mask_count, *[int(Kind.TAG)] * tag_count]

    def padded(values: list[Any], type: pa.DataType) -> pa.Array:
        return pa.concat_arrays([pa.array(values, type), pa.nulls(rest, type)]).take(place)

    return columns.annotations(
        image + source.first_row,
        annotation_id=ids,
        kind=np.array(kinds, np.int8)[order],
        label=np.array([*label, *mask_labels, *tag_label], np.int32)[order],
        bbox=geometry.box_column(boxes[order]),
        rings=padded(rings, pa.list_(pa.list_(pa.float64()))),
        rle=masks.encode(runs).take(at_mask),
        rle_size=drawn.take(at_mask),
        rotation=padded(rotation, pa.float64()),
        group=pa.array(id_of[leader], mask=leader < 0),
        flags=np.array([*flags, *[0] * rest], np.int32)[order],
        attributes=padded(attributes, pa.string()),
    )


def _relate(objects: list[Object], found: voc_masks.Found) -> tuple[Integers, list[int]]:
    """For each object and mask the object that its group is called by, -1 for none; and the labels of the masks."""
    leader = np.full(len(objects) + len(found.image), -1)
    labels = list(found.label)
    parts = [at for at, one in enumerate(objects) if one.number < 0]
    if not parts and not labels:
        return leader, labels
    whole = {one[:2]: at for at, one in enumerate(objects) if one.number > 0}
    for at in parts:
        of = whole.get((objects[at].image, -objects[at].number), -1)
        leader[at] = of
        if of >= 0:
            leader[of] = of
    for k, key in enumerate(zip(found.image, found.number, strict=True)):
        of = whole.get(key, -1)
        if of >= 0 and labels[k] in (objects[of].label, -1):
            # Instance n of the challenge is its n-th object.
            labels[k] = objects[of].label
            leader[len(objects) + k] = leader[of] = of
    return leader, labels


def _read_tags(source: LabelSource, there: set[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Image and label of each class that lists say is present, and no object says."""
    assert source.images is not None and source.media is not None
    usable = source.media["usable"].to_pylist()
    tags = source.images["tags"].to_pylist()
    pairs = [(i, label) for i, mine in enumerate(tags) if usable[i] for label in mine if (i, label) not in there]
    return [i for i, _ in pairs], [label for _, label in pairs]

"""Reading Pascal VOC shard by shard: objects of XML files, masks, and tags of what lists say and no object does.

Instance n of a file of masks is the n-th object of the XML file, as in the challenge: where both are of one class they
are one group, as an object and its parts are.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framehouse.annotations import geometry, masks
from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Kind
from framehouse.store.issues import ERROR, INFO, WARNING, IssueLog
from framehouse.store.packs import read_entries
from services.conversion import columns, layout
from services.conversion.format import LabelSource
from services.conversion.voc import masks as voc_masks
from services.conversion.voc import objects as voc_objects
from services.conversion.voc import plain
from services.conversion.voc.objects import Objects
from services.conversion.voc.planning import CLASS_FILE, INSTANCE_FILE, XML
from services.conversion.voc.xml import Problem, Refused

SEVERITIES = {"RING_TOO_SHORT": WARNING, "BOX_REPEATED": WARNING, "FIELDS_NOT_READ": INFO}
"""Of issues that are not errors."""


def read(source: LabelSource, issues: IssueLog) -> pa.Table:
    """Reads the XML files and masks of a shard's usable images, and what lists say of them."""
    assert source.images is not None and source.media is not None
    position = {label.name: i for i, label in enumerate(source.labels.labels)}
    found = [voc_objects.none()]
    for run in plain.runs(_files(source, XML, issues)):
        rows, paths, files = zip(*run, strict=True)

        def tell(at: int, one: Refused | Problem, paths: Sequence[str] = paths) -> None:
            issues.add(one.code, SEVERITIES.get(one.code, ERROR), paths[at], one.text, one.remedy, one.line)

        objects = voc_objects.read(files, position, tell)
        found.append(objects._replace(image=np.array(rows)[objects.image]))
    return _assemble(source, voc_objects.concat(found), _read_masks(source, issues))


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


def _assemble(source: LabelSource, objects: Objects, found: voc_masks.Found) -> pa.Table:
    """Objects, masks and tags as flat annotations: those of an image in this order, counted from 1."""
    count, mask_count = len(objects.image), len(found.image)
    leader, mask_labels = _relate(objects, found)
    tag_image, tag_label = _read_tags(source, objects)
    tag_count = len(tag_image)
    rest = mask_count + tag_count

    image = np.concatenate([objects.image, np.array(found.image, np.int64), tag_image])
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
    boxes = objects.corners.copy()
    boxes[:, 2:] -= boxes[:, :2]
    boxes = np.concatenate([boxes, masks.envelopes(runs, size[:, 0]), np.full((tag_count, 4), np.nan)])
    drawn = pa.FixedSizeListArray.from_arrays(pa.array(size.astype(np.int32).reshape(-1)), 2)
    kinds = np.repeat([int(Kind.MASK), int(Kind.TAG)], [mask_count, tag_count])

    def padded(values: pa.Array) -> pa.Array:
        return pa.concat_arrays([values, pa.nulls(rest, values.type)]).take(place)

    return columns.annotations(
        image + source.first_row,
        annotation_id=ids,
        kind=np.concatenate([objects.kind, kinds])[order],
        label=np.concatenate([objects.label, np.array(mask_labels, np.int64), tag_label])[order],
        bbox=geometry.box_column(boxes[order]),
        rings=padded(objects.rings),
        rle=masks.encode(runs).take(at_mask),
        rle_size=drawn.take(at_mask),
        rotation=padded(objects.rotation),
        group=pa.array(id_of[leader], mask=leader < 0),
        flags=np.append(objects.flags, np.zeros(rest, np.int64))[order],
        attributes=padded(objects.attributes),
    )


def _relate(objects: Objects, found: voc_masks.Found) -> tuple[Integers, list[int]]:
    """For each object and mask the object that its group is called by, -1 for none; and the labels of the masks."""
    count = len(objects.image)
    leader = np.full(count + len(found.image), -1)
    labels = list(found.label)
    is_part = objects.number < 0
    if not is_part.any() and not labels:
        return leader, labels
    keys = list(zip(objects.image.tolist(), np.abs(objects.number).tolist(), strict=True))
    whole = {keys[at]: at for at in np.flatnonzero(~is_part).tolist()}
    for at in np.flatnonzero(is_part).tolist():
        of = whole.get(keys[at], -1)
        leader[at] = of
        if of >= 0:
            leader[of] = of
    for k, key in enumerate(zip(found.image, found.number, strict=True)):
        of = whole.get(key, -1)
        if of >= 0 and labels[k] in (objects.label[of], -1):
            # Instance n of the challenge is its n-th object.
            labels[k] = int(objects.label[of])
            leader[count + k] = leader[of] = of
    return leader, labels


def _read_tags(source: LabelSource, objects: Objects) -> tuple[Integers, Integers]:
    """Image and label of each class that lists say is present, and no object says."""
    assert source.images is not None and source.media is not None
    tags = source.images["tags"]
    image, label = pc.list_parent_indices(tags).to_numpy(), tags.flatten().to_numpy().astype(np.int64)
    count = len(source.labels.labels)
    said = np.isin(image * count + label, objects.image * count + objects.label)
    new = source.media["usable"].to_numpy(zero_copy_only=False)[image] & ~said
    return image[new], label[new]

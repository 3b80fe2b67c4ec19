"""Writing Pascal VOC: the label map, what is lost, masks and lists. The XML files' texts are in `voc.texts`."""

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations import masks, outlines
from framehouse.annotations.geometry import Integers
from framehouse.annotations.schema import Flag, Kind, State
from framehouse.store.bundle import BundleWriter
from framehouse.v1.annotation_pb2 import LabelSchema
from framehouse.v1.conversion_pb2 import LABEL_MAP_VOC, Loss, WriteOptions
from services.conversion import layout, losses
from services.conversion.format import Preparation, Rows, WriteHead
from services.conversion.shapes import polygon_rings
from services.conversion.voc import labels as voc_labels
from services.conversion.voc import masks as voc_masks
from services.conversion.voc import texts as voc_texts
from services.conversion.voc.labels import BACKGROUND, BLACK, Entry
from services.conversion.voc.roles import SHAPES, Detail, Roles, find_roles, solid

ID = "pascal-voc"
DEFAULT_SPLIT = "default"
HELD = Flag.DIFFICULT | Flag.TRUNCATED | Flag.OCCLUDED
AT_ONCE = 1 << 16
"""Annotations whose losses are counted at once, for what is made of them takes many times their room."""
PAINTED_AT_ONCE = 64
"""Images whose masks are decoded together."""
ALL_CLASSES = 256
"""Up to so many classes the lists of a class name the images too that it is absent from."""

COLUMNS = (
    *("annotation_id", "kind", "label", "bbox", "rings", "rle", "rle_size", "rotation", "group", "z_order", "flags"),
    "attributes",
)
"""What is looked at to write."""

Marks = NDArray[np.bool_]


def spared(source_format: str, options: WriteOptions) -> tuple[str, ...]:
    """Polygons are written as such where they came from VOC, or painted; else as the boxes around them."""
    return () if source_format == ID or options.voc.paint_polygons else ("rings",)


def scan(images: pa.Table, flat: pa.Table) -> dict[str, pa.Array]:
    """Which annotations have width and height, which attributes, and which masks share pixels with others of their
    image.
    """
    is_mask = flat["rle"].is_valid().to_numpy()
    shared = np.zeros(flat.num_rows, bool)
    if is_mask.any():
        mine = flat.filter(pa.array(is_mask))
        size = mine["rle_size"].combine_chunks().flatten().to_numpy().reshape(-1, 2).astype(np.int64)
        runs = masks.decode(mine["rle"].combine_chunks())
        shared[is_mask] = voc_masks.overlapping(mine["image"].to_numpy(), runs, size)
    return {
        "is_solid": pa.array(solid(flat)),
        "has_attributes": flat["attributes"].is_valid().combine_chunks(),
        "is_shared": pa.array(shared),
    }


def prepare(images: pa.Table, annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Preparation:
    """Decides names and the label map, and counts what cannot be written."""
    target = pc.binary_join_element_wise("JPEGImages", images["path"].combine_chunks(), "/")
    target, label_path, lost = layout.label_files(target, _label_path)
    stem = pc.utf8_slice_codeunits(pc.replace_substring_regex(label_path, r"\.xml$", ""), len("Annotations/"))
    detail = _detail(annotations, labels, head)
    lost += _losses(annotations, labels, detail)
    return Preparation({"target": target, "stem": stem}, lost, msgspec.json.encode(detail).decode())


def _label_path(target: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(target, r"(?s)^JPEGImages/(.*?)(?:\.[^./]*)?$", r"Annotations/\1.xml")


def _detail(annotations: pa.Table, labels: LabelSchema, head: WriteHead) -> Detail:
    was_voc = head.source_format == ID
    names = voc_labels.written_names(labels)
    position = {label.name: i for i, label in enumerate(labels.labels)}
    if head.asked().voc.label_map == LABEL_MAP_VOC:
        entries = voc_labels.challenge()
        known = {entry.name for entry in entries} | set(voc_labels.PARTS)
        kept = [name in known for name in names]
    else:
        painted = set(annotations["label"].to_numpy()[annotations["kind"].to_numpy() == Kind.MASK].tolist())
        # What Datumaro finds as a part it must not find as a class again.
        parts = [
            was_voc and label.parent in position and label.parent != label.name and i not in painted
            for i, label in enumerate(labels.labels)
        ]
        parts = [is_part and not parts[position[labels.labels[i].parent]] for i, is_part in enumerate(parts)]
        kept = [True] * len(names)
        entries = []
        for i, label in enumerate(labels.labels):
            if parts[i]:
                continue
            own = tuple(names[k] for k, part in enumerate(labels.labels) if parts[k] and part.parent == label.name)
            shade = bytes.fromhex(label.color[1:]) if label.color else None
            colour = (shade[0], shade[1], shade[2]) if shade else None
            actions = tuple(label.attributes) if was_voc else ()
            entries.append(Entry(names[i], BLACK if names[i] == BACKGROUND else colour, own, actions))
        if not any(entry.colour == BLACK for entry in entries):
            entries.insert(0, Entry(BACKGROUND, BLACK))
        entries = voc_labels.fill_colours(entries)
    line = {entry.name: i for i, entry in enumerate(entries)}
    shades = [(entry.name, entry.colour or BLACK, entry.parts, entry.actions) for entry in entries]
    nothing = next(i for i, entry in enumerate(entries) if entry.colour == BLACK)
    lines = [line.get(name, -1) for name in names]
    return Detail(names, kept, lines, shades, nothing, BACKGROUND in position, was_voc)


def _losses(annotations: pa.Table, labels: LabelSchema, detail: Detail) -> list[Loss]:
    """What is lost beside what the format's declaration says."""
    tally = losses.Tally(labels)
    image = annotations["image"].to_numpy()
    first = 0
    while first < len(image):
        # No image is divided.
        last = image[min(first + AT_ONCE, len(image)) - 1]
        end = int(np.searchsorted(image, last, side="right"))
        _add_losses(tally, annotations.slice(first, end - first), labels, detail)
        first = end
    result = tally.losses()
    renamed = sum(name != label.name for name, label in zip(detail.names, labels.labels, strict=True))
    if renamed:
        text = f"{renamed} classes are written with `_` for what labelmap.txt has no place for"
        result.insert(0, Loss(code="NAME_CHANGED", subject="names of classes", fallback=text))
    return result


def _add_losses(tally: losses.Tally, annotations: pa.Table, labels: LabelSchema, detail: Detail) -> None:
    image, kinds, label, flags = (annotations[name].to_numpy() for name in ("image", "kind", "label", "flags"))
    # Images are counted from the first one on.
    image = image - image[:1]
    found = losses.Annotations(image, kinds, label, flags, {})

    def loss(code: str, subject: str, touched: Marks, fallback: str) -> None:
        tally.loss(found, code, subject, touched, fallback)

    known = label >= 0
    kept = np.append(np.array(detail.kept, bool), False)[label]
    loss("LABEL_NOT_IN_MAP", "classes that the challenge has not", known & ~kept, losses.LEFT_OUT)
    is_solid = annotations["is_solid"].to_numpy()
    roles = find_roles(annotations, is_solid, labels, detail, np.zeros(len(label), bool))
    written = np.zeros(len(label), bool)
    written[roles.objects] = True
    shaped = kept & np.isin(kinds, SHAPES)
    loss("BOX_EMPTY", "shapes without width or height", shaped & ~written, losses.LEFT_OUT)
    is_mask, is_tag = kinds == Kind.MASK, kinds == Kind.TAG
    painted = np.zeros(len(label), bool)
    painted[roles.masks] = True
    text = "left out, for black is nothing"
    loss("MASK_OF_BACKGROUND", "masks of the class of nothing", kept & is_mask & ~painted, text)
    shared = annotations["is_shared"].to_numpy(zero_copy_only=False)
    loss("MASK_OVERLAP", "masks that overlap", painted & shared, "pixels are of the one with the highest z order")
    bare = kept & (is_mask | is_tag)
    attributes = annotations["has_attributes"].to_numpy(zero_copy_only=False)
    loss("ATTRIBUTES_UNSUPPORTED", "attributes of masks and tags", bare & attributes, "written without them")
    loss("FLAG_UNSUPPORTED", "flags of masks and tags", bare & (flags & HELD > 0), "written without the flag")
    tags = is_tag & kept
    classes = image.astype(np.int64) * (len(labels.labels) + 1) + label
    implied = tags & np.isin(classes, classes[roles.objects]) if tags.any() else tags
    text = "written, but read as what the objects say"
    loss("TAG_IMPLIED", "tags of a class that their image has objects of", implied, text)
    related = np.zeros(len(label), bool)
    parts = roles.host != roles.objects
    for rows in (roles.objects[parts], roles.host[parts], roles.masks[roles.owner >= 0], roles.owner[roles.owner >= 0]):
        related[rows] = True
    grouped = np.flatnonzero(annotations["group"].is_valid().to_numpy(zero_copy_only=False))
    keys = np.stack([image, pc.fill_null(annotations["group"], 0).to_numpy()], axis=1)[grouped]
    _, at, members = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    shared_group = np.zeros(len(label), bool)
    shared_group[grouped] = members[at.reshape(-1)] > 1
    text = "written without them: only an object with its parts or its mask is one group"
    loss("GROUP_UNSUPPORTED", "groups", kept & shared_group & ~related, text)


def write(rows: Rows, bundle: BundleWriter) -> None:
    """The XML files and masks of a run of images, and pieces of the lists."""
    asked = rows.head.asked().voc
    detail = msgspec.json.decode(rows.head.detail, type=Detail)
    image = rows.annotations["image"].to_numpy()
    sized: Marks = np.asarray(_sizes(rows.images).all(axis=1))
    paint = sized[image] & asked.paint_polygons
    roles = find_roles(rows.annotations, solid(rows.annotations), rows.labels, detail, paint)
    label = rows.annotations["label"].to_numpy()
    count = rows.images.num_rows
    painted = np.bincount(image[roles.masks], minlength=count) > 0
    kept = np.append(np.array(detail.kept, bool), False)[label]
    is_tag = kept & (rows.annotations["kind"].to_numpy() == Kind.TAG)
    described = (np.bincount(image[roles.objects], minlength=count) > 0) | painted
    has_tags = np.bincount(image[is_tag], minlength=count) > 0
    described |= has_tags | (rows.images["state"].to_numpy() == State.VERIFIED_EMPTY)
    voc_texts.write(rows, detail, roles, described | asked.keep_empty, painted, bundle)
    _write_masks(rows, detail, roles, bundle)
    present = np.concatenate([np.flatnonzero(is_tag), roles.objects])
    _write_lists(rows, detail, painted, has_tags, (image[present], label[present]), bundle)


def _write_masks(rows: Rows, detail: Detail, roles: Roles, bundle: BundleWriter) -> None:
    if not len(roles.masks):
        return
    mine = rows.annotations.take(pa.array(roles.masks))
    image = mine["image"].to_numpy()
    size = _sizes(rows.images)
    drawn, rle = _filled(mine, size[image])
    order = np.lexsort([pc.fill_null(mine["z_order"], 0).to_numpy(), image])
    image, drawn, rle = image[order], drawn[order], rle.take(pa.array(order))
    lines = np.array(detail.lines, np.int64)[mine["label"].to_numpy()[order]]
    shades = np.array([entry[1] for entry in detail.entries], np.uint8)
    instance = roles.instance[order]
    palette = voc_labels.colours(np.arange(max(int(instance.max()) + 1, voc_masks.SMALL)))
    indexed = rows.head.asked().voc.without_colormap
    files = (
        ("SegmentationClass", lines, detail.nothing, None if indexed else shades),
        ("SegmentationObject", instance, 0, None if indexed else palette),
    )
    painted, begins = np.unique(image, return_index=True)
    stems = rows.images["stem"].take(pa.array(painted)).to_pylist()
    bounds = np.append(begins, len(image)).tolist()
    for first in range(0, len(painted), PAINTED_AT_ONCE):
        end = min(first + PAINTED_AT_ONCE, len(painted))
        runs = masks.decode(rle[bounds[first] : bounds[end]])
        for k in range(first, end):
            at = slice(bounds[k], bounds[k + 1])
            own = runs.part(bounds[k] - bounds[first], bounds[k + 1] - bounds[first])
            layers = [(numbers[at], nothing) for _, numbers, nothing, _ in files]
            rasters = voc_masks.paint(own, drawn[at], size[painted[k]], layers)
            for (folder, _, _, colours), raster in zip(files, rasters, strict=True):
                bundle.file(f"{folder}/{stems[k]}.png", voc_masks.encode(raster, colours))


def _sizes(images: pa.Table) -> Integers:
    """Height and width of images (n, 2), 0 where unknown."""
    sizes = [pc.fill_null(images[name], 0).to_numpy() for name in ("height", "width")]
    return np.stack(sizes, axis=1).astype(np.int64)


def _filled(shapes: pa.Table, size: Integers) -> tuple[Integers, pa.Array]:
    """Sizes and compressed counts of masks, and of polygons and turned boxes in images of `size`, filled."""
    kinds = shapes["kind"].to_numpy()
    rle = shapes["rle"].combine_chunks()
    is_mask = kinds == Kind.MASK
    drawn = size.copy()
    given = shapes["rle_size"].combine_chunks().filter(pa.array(is_mask))
    drawn[is_mask] = given.flatten().to_numpy().reshape(-1, 2)
    if not is_mask.all():
        rings = polygon_rings(shapes)
        filled = masks.encode(outlines.fill(rings, drawn[:, 0], drawn[:, 1], holes=True))
        rle = pc.if_else(pa.array(is_mask), rle, filled)
    return drawn, rle


def _write_lists(
    rows: Rows,
    detail: Detail,
    painted: Marks,
    has_tags: Marks,
    present: tuple[Integers, Integers],
    bundle: BundleWriter,
) -> None:
    """Pieces of ImageSets: all images, those with masks, and for each class which of the images with tags have it.

    `present` are image and class of each tag and object: a list must not deny a class that there are objects of.
    """
    folders = rows.images["folder"].combine_chunks()
    stems = rows.images["stem"].combine_chunks()
    # Quotes keep what a reader would take off.
    odd = pc.match_substring_regex(stems, r'^["#\s]|\s$')
    stems = pc.if_else(odd, pc.binary_join_element_wise('"', stems, '"', ""), stems)
    labels = [i for i, line in enumerate(detail.lines) if detail.kept[i] and line >= 0]
    image, label = present
    for folder in pc.unique(folders).to_pylist():
        here = pc.equal(folders, folder).to_numpy(zero_copy_only=False)
        bundle.piece(f"ImageSets/Main/{folder}.txt", 1, _lines(stems.filter(pa.array(here)), ""))
        if (here & painted).any():
            listed = stems.filter(pa.array(here & painted))
            bundle.piece(f"ImageSets/Segmentation/{folder}.txt", 1, _lines(listed, ""))
        mine = np.flatnonzero(here & has_tags)
        for i in labels if len(mine) else []:
            has = np.isin(mine, image[label == i])
            # Of many classes, absence alone would fill gigabytes.
            listed = mine[has] if len(labels) > ALL_CLASSES else mine
            values = pc.if_else(pa.array(has[np.isin(mine, listed)]), "  1", " -1")
            name = voc_labels.file_name(detail.names[i])
            text = _lines(stems.take(pa.array(listed)), values)
            bundle.piece(f"ImageSets/Main/{name}_{folder}.txt", 1, text)


def _lines(names: pa.Array, values: pa.Array | str) -> bytes:
    text = pc.binary_join_element_wise(names, values, "\n", "")
    whole = pa.ListArray.from_arrays(pa.array([0, len(text)], pa.int32()), text)
    return bytes(pc.binary_join(whole, "")[0].as_buffer())


def finish(labels: LabelSchema, head: WriteHead, bundle: BundleWriter) -> None:
    """Writes labelmap.txt."""
    detail = msgspec.json.decode(head.detail, type=Detail)
    entries = [Entry(name, colour, parts, actions) for name, colour, parts, actions in detail.entries]
    bundle.file("labelmap.txt", voc_labels.map_text(entries, detail.is_class))

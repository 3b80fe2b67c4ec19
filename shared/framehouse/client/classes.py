"""Changes of classes, one function each, for `change_classes` and for what an export does to classes.

`[rename("car", "vehicle"), merge(["bus", "van"], into="vehicle"), delete("dog", annotations="remove")]`
"""

from collections.abc import Mapping, Sequence

from framehouse.client.errors import InvalidArgument
from framehouse.v1 import annotation_pb2, dataset_pb2
from framehouse.v1.dataset_pb2 import ClassChange

FATES: Mapping[str, dataset_pb2.AnnotationFate] = {
    "": dataset_pb2.ANNOTATION_FATE_UNSPECIFIED,
    "remove": dataset_pb2.ANNOTATION_FATE_REMOVE,
    "keep": dataset_pb2.ANNOTATION_FATE_KEEP,
}


def add(name: str, colour: str = "") -> ClassChange:
    """A new class, after the others. `colour`: `#rrggbb`."""
    return ClassChange(add=annotation_pb2.Label(name=name, color=colour))


def rename(label: str, new_name: str) -> ClassChange:
    return ClassChange(rename=dataset_pb2.RenameClass(label=label, new_name=new_name))


def recolour(label: str, colour: str) -> ClassChange:
    """`colour`: `#rrggbb`, or empty for none."""
    return ClassChange(recolour=dataset_pb2.RecolourClass(label=label, color=colour))


def merge(labels: Sequence[str], *, into: str) -> ClassChange:
    """Makes the annotations of these classes those of another one. These classes go."""
    return ClassChange(merge=dataset_pb2.MergeClasses(labels=labels, into=into))


def delete(label: str, *, annotations: str = "") -> ClassChange:
    """Removes a class. Its annotations go with `remove` and stay without a class with `keep`; without either the change
    is refused where there are any.
    """
    if (fate := FATES.get(annotations)) is None:
        raise InvalidArgument(f"{annotations!r} is nothing that can become of annotations", remedy="say remove or keep")
    return ClassChange(delete=dataset_pb2.DeleteClass(label=label, annotations=fate))


def reorder(labels: Sequence[str]) -> ClassChange:
    """Puts these classes first, in this order."""
    return ClassChange(reorder=dataset_pb2.ReorderClasses(labels=labels))

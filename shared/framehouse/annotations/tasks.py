"""Which kinds of annotations count for what a dataset is for.

A task shows and exports some kinds and loses none: the others stay in the table as they are.
"""

from framehouse.annotations.schema import Kind
from framehouse.v1 import dataset_pb2

_KINDS: dict[int, frozenset[Kind]] = {
    dataset_pb2.TASK_DETECT: frozenset({Kind.BOX}),
    dataset_pb2.TASK_SEGMENT: frozenset({Kind.POLYGON, Kind.MASK}),
    dataset_pb2.TASK_SEMANTIC: frozenset({Kind.POLYGON, Kind.MASK}),
    dataset_pb2.TASK_POSE: frozenset({Kind.SKELETON, Kind.POINTS}),
    dataset_pb2.TASK_OBB: frozenset({Kind.ROTATED_BOX}),
    dataset_pb2.TASK_CLASSIFY: frozenset({Kind.TAG}),
}


def kinds_of(task: int) -> frozenset[Kind]:
    """The kinds of a task, a number of the enum `Task`; all of them where it is unspecified, or none that is known."""
    return _KINDS.get(task, frozenset(Kind))

import datetime

from framehouse.v1 import annotation_pb2 as _annotation_pb2
from framehouse.v1 import key_pb2 as _key_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Visibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VISIBILITY_UNSPECIFIED: _ClassVar[Visibility]
    VISIBILITY_PRIVATE: _ClassVar[Visibility]
    VISIBILITY_PUBLIC: _ClassVar[Visibility]

class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_UNSPECIFIED: _ClassVar[Task]
    TASK_DETECT: _ClassVar[Task]
    TASK_SEGMENT: _ClassVar[Task]
    TASK_SEMANTIC: _ClassVar[Task]
    TASK_POSE: _ClassVar[Task]
    TASK_OBB: _ClassVar[Task]
    TASK_CLASSIFY: _ClassVar[Task]

class DatasetState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATASET_STATE_UNSPECIFIED: _ClassVar[DatasetState]
    DATASET_STATE_INCOMPLETE: _ClassVar[DatasetState]
    DATASET_STATE_READY: _ClassVar[DatasetState]

class ImageState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_STATE_UNSPECIFIED: _ClassVar[ImageState]
    IMAGE_STATE_UNANNOTATED: _ClassVar[ImageState]
    IMAGE_STATE_ANNOTATED: _ClassVar[ImageState]
    IMAGE_STATE_VERIFIED_EMPTY: _ClassVar[ImageState]

class ImageView(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_VIEW_UNSPECIFIED: _ClassVar[ImageView]
    IMAGE_VIEW_BASIC: _ClassVar[ImageView]
    IMAGE_VIEW_FULL: _ClassVar[ImageView]
    IMAGE_VIEW_ALL_TASKS: _ClassVar[ImageView]

class SplitGroup(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPLIT_GROUP_UNSPECIFIED: _ClassVar[SplitGroup]
    SPLIT_GROUP_FOLDER: _ClassVar[SplitGroup]
    SPLIT_GROUP_ATTRIBUTE: _ClassVar[SplitGroup]
    SPLIT_GROUP_LOOK: _ClassVar[SplitGroup]

class AnnotationFate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANNOTATION_FATE_UNSPECIFIED: _ClassVar[AnnotationFate]
    ANNOTATION_FATE_REMOVE: _ClassVar[AnnotationFate]
    ANNOTATION_FATE_KEEP: _ClassVar[AnnotationFate]

class SnapshotState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SNAPSHOT_STATE_UNSPECIFIED: _ClassVar[SnapshotState]
    SNAPSHOT_STATE_PENDING: _ClassVar[SnapshotState]
    SNAPSHOT_STATE_READY: _ClassVar[SnapshotState]
VISIBILITY_UNSPECIFIED: Visibility
VISIBILITY_PRIVATE: Visibility
VISIBILITY_PUBLIC: Visibility
TASK_UNSPECIFIED: Task
TASK_DETECT: Task
TASK_SEGMENT: Task
TASK_SEMANTIC: Task
TASK_POSE: Task
TASK_OBB: Task
TASK_CLASSIFY: Task
DATASET_STATE_UNSPECIFIED: DatasetState
DATASET_STATE_INCOMPLETE: DatasetState
DATASET_STATE_READY: DatasetState
IMAGE_STATE_UNSPECIFIED: ImageState
IMAGE_STATE_UNANNOTATED: ImageState
IMAGE_STATE_ANNOTATED: ImageState
IMAGE_STATE_VERIFIED_EMPTY: ImageState
IMAGE_VIEW_UNSPECIFIED: ImageView
IMAGE_VIEW_BASIC: ImageView
IMAGE_VIEW_FULL: ImageView
IMAGE_VIEW_ALL_TASKS: ImageView
SPLIT_GROUP_UNSPECIFIED: SplitGroup
SPLIT_GROUP_FOLDER: SplitGroup
SPLIT_GROUP_ATTRIBUTE: SplitGroup
SPLIT_GROUP_LOOK: SplitGroup
ANNOTATION_FATE_UNSPECIFIED: AnnotationFate
ANNOTATION_FATE_REMOVE: AnnotationFate
ANNOTATION_FATE_KEEP: AnnotationFate
SNAPSHOT_STATE_UNSPECIFIED: SnapshotState
SNAPSHOT_STATE_PENDING: SnapshotState
SNAPSHOT_STATE_READY: SnapshotState

class Dataset(_message.Message):
    __slots__ = ("name", "uid", "display_name", "image_count", "annotation_count", "labels", "splits", "image_bytes", "source_format", "create_time", "update_time", "etag", "issues", "state", "missing", "description", "license", "license_locked", "visibility", "task", "star_count", "starred", "cloned_from", "version", "delete_time", "purge_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    LICENSE_LOCKED_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    STAR_COUNT_FIELD_NUMBER: _ClassVar[int]
    STARRED_FIELD_NUMBER: _ClassVar[int]
    CLONED_FROM_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DELETE_TIME_FIELD_NUMBER: _ClassVar[int]
    PURGE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: str
    display_name: str
    image_count: int
    annotation_count: int
    labels: _annotation_pb2.LabelSchema
    splits: _containers.RepeatedCompositeFieldContainer[SplitCount]
    image_bytes: int
    source_format: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.IssueCount]
    state: DatasetState
    missing: _containers.RepeatedScalarFieldContainer[str]
    description: str
    license: str
    license_locked: bool
    visibility: Visibility
    task: Task
    star_count: int
    starred: bool
    cloned_from: str
    version: int
    delete_time: _timestamp_pb2.Timestamp
    purge_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[str] = ..., display_name: _Optional[str] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., labels: _Optional[_Union[_annotation_pb2.LabelSchema, _Mapping]] = ..., splits: _Optional[_Iterable[_Union[SplitCount, _Mapping]]] = ..., image_bytes: _Optional[int] = ..., source_format: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.IssueCount, _Mapping]]] = ..., state: _Optional[_Union[DatasetState, str]] = ..., missing: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ..., license: _Optional[str] = ..., license_locked: _Optional[bool] = ..., visibility: _Optional[_Union[Visibility, str]] = ..., task: _Optional[_Union[Task, str]] = ..., star_count: _Optional[int] = ..., starred: _Optional[bool] = ..., cloned_from: _Optional[str] = ..., version: _Optional[int] = ..., delete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., purge_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SplitCount(_message.Message):
    __slots__ = ("split", "image_count")
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    split: str
    image_count: int
    def __init__(self, split: _Optional[str] = ..., image_count: _Optional[int] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("name", "path", "split", "format", "width", "height", "size", "hash", "orientation", "frame", "annotation_count", "normalised_width", "normalised_height", "url", "preview_url", "url_expire_time", "state", "labels", "annotations", "import_job", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    ORIENTATION_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    NORMALISED_WIDTH_FIELD_NUMBER: _ClassVar[int]
    NORMALISED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_URL_FIELD_NUMBER: _ClassVar[int]
    URL_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    IMPORT_JOB_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    split: str
    format: str
    width: int
    height: int
    size: int
    hash: str
    orientation: int
    frame: int
    annotation_count: int
    normalised_width: int
    normalised_height: int
    url: str
    preview_url: str
    url_expire_time: _timestamp_pb2.Timestamp
    state: ImageState
    labels: _containers.RepeatedScalarFieldContainer[str]
    annotations: _containers.RepeatedCompositeFieldContainer[Annotation]
    import_job: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ..., split: _Optional[str] = ..., format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size: _Optional[int] = ..., hash: _Optional[str] = ..., orientation: _Optional[int] = ..., frame: _Optional[int] = ..., annotation_count: _Optional[int] = ..., normalised_width: _Optional[int] = ..., normalised_height: _Optional[int] = ..., url: _Optional[str] = ..., preview_url: _Optional[str] = ..., url_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[ImageState, str]] = ..., labels: _Optional[_Iterable[str]] = ..., annotations: _Optional[_Iterable[_Union[Annotation, _Mapping]]] = ..., import_job: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class Annotation(_message.Message):
    __slots__ = ("id", "kind", "label", "bbox", "rings", "rle", "rle_size", "rotation", "visibility", "group", "track", "z_order", "flags", "score", "text", "attributes")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    BBOX_FIELD_NUMBER: _ClassVar[int]
    RINGS_FIELD_NUMBER: _ClassVar[int]
    RLE_FIELD_NUMBER: _ClassVar[int]
    RLE_SIZE_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    Z_ORDER_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    id: int
    kind: _annotation_pb2.AnnotationKind
    label: str
    bbox: _containers.RepeatedScalarFieldContainer[float]
    rings: _containers.RepeatedCompositeFieldContainer[Ring]
    rle: bytes
    rle_size: _containers.RepeatedScalarFieldContainer[int]
    rotation: float
    visibility: _containers.RepeatedScalarFieldContainer[int]
    group: int
    track: int
    z_order: int
    flags: _containers.RepeatedScalarFieldContainer[str]
    score: float
    text: str
    attributes: str
    def __init__(self, id: _Optional[int] = ..., kind: _Optional[_Union[_annotation_pb2.AnnotationKind, str]] = ..., label: _Optional[str] = ..., bbox: _Optional[_Iterable[float]] = ..., rings: _Optional[_Iterable[_Union[Ring, _Mapping]]] = ..., rle: _Optional[bytes] = ..., rle_size: _Optional[_Iterable[int]] = ..., rotation: _Optional[float] = ..., visibility: _Optional[_Iterable[int]] = ..., group: _Optional[int] = ..., track: _Optional[int] = ..., z_order: _Optional[int] = ..., flags: _Optional[_Iterable[str]] = ..., score: _Optional[float] = ..., text: _Optional[str] = ..., attributes: _Optional[str] = ...) -> None: ...

class Ring(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, points: _Optional[_Iterable[float]] = ...) -> None: ...

class GetImageRequest(_message.Message):
    __slots__ = ("name", "view")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    name: str
    view: ImageView
    def __init__(self, name: _Optional[str] = ..., view: _Optional[_Union[ImageView, str]] = ...) -> None: ...

class ListImagesRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "filter", "order_by", "view", "version")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    filter: str
    order_by: str
    view: ImageView
    version: int
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[str] = ..., order_by: _Optional[str] = ..., view: _Optional[_Union[ImageView, str]] = ..., version: _Optional[int] = ...) -> None: ...

class ListImagesResponse(_message.Message):
    __slots__ = ("images", "next_page_token", "total_size")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    next_page_token: str
    total_size: int
    def __init__(self, images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class ChangeImagesRequest(_message.Message):
    __slots__ = ("parent", "images", "filter", "move_to_split", "set_state", "remove", "etag", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MOVE_TO_SPLIT_FIELD_NUMBER: _ClassVar[int]
    SET_STATE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    images: ImageNames
    filter: str
    move_to_split: str
    set_state: ImageState
    remove: bool
    etag: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., images: _Optional[_Union[ImageNames, _Mapping]] = ..., filter: _Optional[str] = ..., move_to_split: _Optional[str] = ..., set_state: _Optional[_Union[ImageState, str]] = ..., remove: _Optional[bool] = ..., etag: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ImageNames(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class ChangeImagesResponse(_message.Message):
    __slots__ = ("dataset", "changed_count")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    CHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    dataset: Dataset
    changed_count: int
    def __init__(self, dataset: _Optional[_Union[Dataset, _Mapping]] = ..., changed_count: _Optional[int] = ...) -> None: ...

class RedistributeSplitsRequest(_message.Message):
    __slots__ = ("name", "shares", "seed", "stratify", "group", "validate_only", "etag", "group_attribute")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STRATIFY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    GROUP_ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    shares: _containers.RepeatedCompositeFieldContainer[SplitShare]
    seed: int
    stratify: bool
    group: SplitGroup
    validate_only: bool
    etag: str
    group_attribute: str
    def __init__(self, name: _Optional[str] = ..., shares: _Optional[_Iterable[_Union[SplitShare, _Mapping]]] = ..., seed: _Optional[int] = ..., stratify: _Optional[bool] = ..., group: _Optional[_Union[SplitGroup, str]] = ..., validate_only: _Optional[bool] = ..., etag: _Optional[str] = ..., group_attribute: _Optional[str] = ...) -> None: ...

class SplitShare(_message.Message):
    __slots__ = ("split", "share")
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    split: str
    share: float
    def __init__(self, split: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class RedistributeSplitsResponse(_message.Message):
    __slots__ = ("dataset", "splits", "changed_count")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    dataset: Dataset
    splits: _containers.RepeatedCompositeFieldContainer[SplitCount]
    changed_count: int
    def __init__(self, dataset: _Optional[_Union[Dataset, _Mapping]] = ..., splits: _Optional[_Iterable[_Union[SplitCount, _Mapping]]] = ..., changed_count: _Optional[int] = ...) -> None: ...

class ListDuplicatesRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "distance")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    distance: int
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., distance: _Optional[int] = ...) -> None: ...

class ListDuplicatesResponse(_message.Message):
    __slots__ = ("groups", "next_page_token", "total_size")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[DuplicateGroup]
    next_page_token: str
    total_size: int
    def __init__(self, groups: _Optional[_Iterable[_Union[DuplicateGroup, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class DuplicateGroup(_message.Message):
    __slots__ = ("hash", "size", "image_count", "paths", "splits")
    HASH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    hash: str
    size: int
    image_count: int
    paths: _containers.RepeatedScalarFieldContainer[str]
    splits: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hash: _Optional[str] = ..., size: _Optional[int] = ..., image_count: _Optional[int] = ..., paths: _Optional[_Iterable[str]] = ..., splits: _Optional[_Iterable[str]] = ...) -> None: ...

class GetDatasetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CreateDatasetRequest(_message.Message):
    __slots__ = ("parent", "dataset_id", "dataset")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    parent: str
    dataset_id: str
    dataset: Dataset
    def __init__(self, parent: _Optional[str] = ..., dataset_id: _Optional[str] = ..., dataset: _Optional[_Union[Dataset, _Mapping]] = ...) -> None: ...

class UpdateDatasetRequest(_message.Message):
    __slots__ = ("dataset", "update_mask")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    dataset: Dataset
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, dataset: _Optional[_Union[Dataset, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class CloneDatasetRequest(_message.Message):
    __slots__ = ("source", "version", "parent", "dataset_id")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    source: str
    version: int
    parent: str
    dataset_id: str
    def __init__(self, source: _Optional[str] = ..., version: _Optional[int] = ..., parent: _Optional[str] = ..., dataset_id: _Optional[str] = ...) -> None: ...

class StarDatasetRequest(_message.Message):
    __slots__ = ("name", "remove")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    name: str
    remove: bool
    def __init__(self, name: _Optional[str] = ..., remove: _Optional[bool] = ...) -> None: ...

class RestoreDatasetRequest(_message.Message):
    __slots__ = ("parent", "uid", "dataset_id")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    parent: str
    uid: str
    dataset_id: str
    def __init__(self, parent: _Optional[str] = ..., uid: _Optional[str] = ..., dataset_id: _Optional[str] = ...) -> None: ...

class PurgeDatasetRequest(_message.Message):
    __slots__ = ("parent", "uid")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    parent: str
    uid: str
    def __init__(self, parent: _Optional[str] = ..., uid: _Optional[str] = ...) -> None: ...

class ListDatasetsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "filter", "order_by", "trash")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    TRASH_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    filter: str
    order_by: str
    trash: bool
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[str] = ..., order_by: _Optional[str] = ..., trash: _Optional[bool] = ...) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets", "next_page_token")
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    next_page_token: str
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateAnnotationsRequest(_message.Message):
    __slots__ = ("image", "annotations", "etag", "verified_empty")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_EMPTY_FIELD_NUMBER: _ClassVar[int]
    image: str
    annotations: _containers.RepeatedCompositeFieldContainer[Annotation]
    etag: str
    verified_empty: bool
    def __init__(self, image: _Optional[str] = ..., annotations: _Optional[_Iterable[_Union[Annotation, _Mapping]]] = ..., etag: _Optional[str] = ..., verified_empty: _Optional[bool] = ...) -> None: ...

class ListRemovalsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRemovalsResponse(_message.Message):
    __slots__ = ("removals", "next_page_token")
    REMOVALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    removals: _containers.RepeatedCompositeFieldContainer[Removal]
    next_page_token: str
    def __init__(self, removals: _Optional[_Iterable[_Union[Removal, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Removal(_message.Message):
    __slots__ = ("name", "image_count", "create_time", "expire_time", "paths")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    name: str
    image_count: int
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., image_count: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class RestoreImagesRequest(_message.Message):
    __slots__ = ("parent", "removal", "images", "filter", "etag", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REMOVAL_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    removal: str
    images: ImageNames
    filter: str
    etag: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., removal: _Optional[str] = ..., images: _Optional[_Union[ImageNames, _Mapping]] = ..., filter: _Optional[str] = ..., etag: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ListClassesRequest(_message.Message):
    __slots__ = ("parent", "version")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    parent: str
    version: int
    def __init__(self, parent: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ListClassesResponse(_message.Message):
    __slots__ = ("classes",)
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    classes: _containers.RepeatedCompositeFieldContainer[ClassCount]
    def __init__(self, classes: _Optional[_Iterable[_Union[ClassCount, _Mapping]]] = ...) -> None: ...

class ClassCount(_message.Message):
    __slots__ = ("label", "position", "annotation_count", "image_count")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    label: _annotation_pb2.Label
    position: int
    annotation_count: int
    image_count: int
    def __init__(self, label: _Optional[_Union[_annotation_pb2.Label, _Mapping]] = ..., position: _Optional[int] = ..., annotation_count: _Optional[int] = ..., image_count: _Optional[int] = ...) -> None: ...

class ChangeClassesRequest(_message.Message):
    __slots__ = ("parent", "changes", "etag", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    changes: _containers.RepeatedCompositeFieldContainer[ClassChange]
    etag: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[ClassChange, _Mapping]]] = ..., etag: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ClassChange(_message.Message):
    __slots__ = ("add", "rename", "recolour", "merge", "delete", "reorder")
    ADD_FIELD_NUMBER: _ClassVar[int]
    RENAME_FIELD_NUMBER: _ClassVar[int]
    RECOLOUR_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    REORDER_FIELD_NUMBER: _ClassVar[int]
    add: _annotation_pb2.Label
    rename: RenameClass
    recolour: RecolourClass
    merge: MergeClasses
    delete: DeleteClass
    reorder: ReorderClasses
    def __init__(self, add: _Optional[_Union[_annotation_pb2.Label, _Mapping]] = ..., rename: _Optional[_Union[RenameClass, _Mapping]] = ..., recolour: _Optional[_Union[RecolourClass, _Mapping]] = ..., merge: _Optional[_Union[MergeClasses, _Mapping]] = ..., delete: _Optional[_Union[DeleteClass, _Mapping]] = ..., reorder: _Optional[_Union[ReorderClasses, _Mapping]] = ...) -> None: ...

class RenameClass(_message.Message):
    __slots__ = ("label", "new_name")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NEW_NAME_FIELD_NUMBER: _ClassVar[int]
    label: str
    new_name: str
    def __init__(self, label: _Optional[str] = ..., new_name: _Optional[str] = ...) -> None: ...

class RecolourClass(_message.Message):
    __slots__ = ("label", "color")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    COLOR_FIELD_NUMBER: _ClassVar[int]
    label: str
    color: str
    def __init__(self, label: _Optional[str] = ..., color: _Optional[str] = ...) -> None: ...

class MergeClasses(_message.Message):
    __slots__ = ("labels", "into")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    INTO_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedScalarFieldContainer[str]
    into: str
    def __init__(self, labels: _Optional[_Iterable[str]] = ..., into: _Optional[str] = ...) -> None: ...

class DeleteClass(_message.Message):
    __slots__ = ("label", "annotations")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    label: str
    annotations: AnnotationFate
    def __init__(self, label: _Optional[str] = ..., annotations: _Optional[_Union[AnnotationFate, str]] = ...) -> None: ...

class ReorderClasses(_message.Message):
    __slots__ = ("labels",)
    LABELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, labels: _Optional[_Iterable[str]] = ...) -> None: ...

class ChangeClassesResponse(_message.Message):
    __slots__ = ("dataset", "effects")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    dataset: Dataset
    effects: _containers.RepeatedCompositeFieldContainer[ClassEffect]
    def __init__(self, dataset: _Optional[_Union[Dataset, _Mapping]] = ..., effects: _Optional[_Iterable[_Union[ClassEffect, _Mapping]]] = ...) -> None: ...

class ClassEffect(_message.Message):
    __slots__ = ("description", "annotation_count", "image_count")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    description: str
    annotation_count: int
    image_count: int
    def __init__(self, description: _Optional[str] = ..., annotation_count: _Optional[int] = ..., image_count: _Optional[int] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("name", "number", "description", "image_count", "annotation_count", "class_count", "image_bytes", "splits", "create_time", "snapshot_state", "snapshot_size", "snapshot_url", "snapshot_url_expire_time", "snapshot_job", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    CLASS_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_STATE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_SIZE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_URL_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_URL_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_JOB_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    description: str
    image_count: int
    annotation_count: int
    class_count: int
    image_bytes: int
    splits: _containers.RepeatedCompositeFieldContainer[SplitCount]
    create_time: _timestamp_pb2.Timestamp
    snapshot_state: SnapshotState
    snapshot_size: int
    snapshot_url: str
    snapshot_url_expire_time: _timestamp_pb2.Timestamp
    snapshot_job: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., description: _Optional[str] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., class_count: _Optional[int] = ..., image_bytes: _Optional[int] = ..., splits: _Optional[_Iterable[_Union[SplitCount, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., snapshot_state: _Optional[_Union[SnapshotState, str]] = ..., snapshot_size: _Optional[int] = ..., snapshot_url: _Optional[str] = ..., snapshot_url_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., snapshot_job: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class CreateVersionRequest(_message.Message):
    __slots__ = ("parent", "description", "request_id", "etag")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    parent: str
    description: str
    request_id: str
    etag: str
    def __init__(self, parent: _Optional[str] = ..., description: _Optional[str] = ..., request_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[Version]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[Version, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateVersionRequest(_message.Message):
    __slots__ = ("version", "update_mask")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    version: Version
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class CompareVersionsRequest(_message.Message):
    __slots__ = ("parent", "base", "other")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    parent: str
    base: int
    other: int
    def __init__(self, parent: _Optional[str] = ..., base: _Optional[int] = ..., other: _Optional[int] = ...) -> None: ...

class CompareVersionsResponse(_message.Message):
    __slots__ = ("images", "annotations", "labels")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    images: ImageDifference
    annotations: AnnotationDifference
    labels: _containers.RepeatedCompositeFieldContainer[LabelDifference]
    def __init__(self, images: _Optional[_Union[ImageDifference, _Mapping]] = ..., annotations: _Optional[_Union[AnnotationDifference, _Mapping]] = ..., labels: _Optional[_Iterable[_Union[LabelDifference, _Mapping]]] = ...) -> None: ...

class ImageDifference(_message.Message):
    __slots__ = ("added_count", "removed_count", "changed_count", "moved_count", "added", "removed", "changed")
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    MOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    added_count: int
    removed_count: int
    changed_count: int
    moved_count: int
    added: _containers.RepeatedScalarFieldContainer[str]
    removed: _containers.RepeatedScalarFieldContainer[str]
    changed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, added_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., changed_count: _Optional[int] = ..., moved_count: _Optional[int] = ..., added: _Optional[_Iterable[str]] = ..., removed: _Optional[_Iterable[str]] = ..., changed: _Optional[_Iterable[str]] = ...) -> None: ...

class AnnotationDifference(_message.Message):
    __slots__ = ("added_count", "removed_count", "changed_count")
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    added_count: int
    removed_count: int
    changed_count: int
    def __init__(self, added_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., changed_count: _Optional[int] = ...) -> None: ...

class LabelDifference(_message.Message):
    __slots__ = ("label", "added", "removed", "annotations")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    label: str
    added: bool
    removed: bool
    annotations: AnnotationDifference
    def __init__(self, label: _Optional[str] = ..., added: _Optional[bool] = ..., removed: _Optional[bool] = ..., annotations: _Optional[_Union[AnnotationDifference, _Mapping]] = ...) -> None: ...

class RestoreVersionRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class RecordSnapshotRequest(_message.Message):
    __slots__ = ("table", "uid", "number", "size")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    table: Table
    uid: str
    number: int
    size: int
    def __init__(self, table: _Optional[_Union[Table, _Mapping]] = ..., uid: _Optional[str] = ..., number: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class SelectImagesRequest(_message.Message):
    __slots__ = ("table", "filter", "output_key")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    table: Table
    filter: str
    output_key: str
    def __init__(self, table: _Optional[_Union[Table, _Mapping]] = ..., filter: _Optional[str] = ..., output_key: _Optional[str] = ...) -> None: ...

class SelectImagesResponse(_message.Message):
    __slots__ = ("image_count",)
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    image_count: int
    def __init__(self, image_count: _Optional[int] = ...) -> None: ...

class DeleteDatasetRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ResolveTableRequest(_message.Message):
    __slots__ = ("dataset", "version")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    version: int
    def __init__(self, dataset: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ("key", "version", "image_count", "annotation_count", "source_format", "task")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    image_count: int
    annotation_count: int
    source_format: str
    task: Task
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., source_format: _Optional[str] = ..., task: _Optional[_Union[Task, str]] = ...) -> None: ...

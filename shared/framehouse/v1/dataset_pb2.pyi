import datetime

from framehouse.v1 import annotation_pb2 as _annotation_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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

class SplitGroup(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPLIT_GROUP_UNSPECIFIED: _ClassVar[SplitGroup]
    SPLIT_GROUP_FOLDER: _ClassVar[SplitGroup]
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
SPLIT_GROUP_UNSPECIFIED: SplitGroup
SPLIT_GROUP_FOLDER: SplitGroup

class Dataset(_message.Message):
    __slots__ = ("name", "uid", "display_name", "image_count", "annotation_count", "labels", "splits", "image_bytes", "source_format", "create_time", "update_time", "etag", "issues", "state", "missing")
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
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[str] = ..., display_name: _Optional[str] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., labels: _Optional[_Union[_annotation_pb2.LabelSchema, _Mapping]] = ..., splits: _Optional[_Iterable[_Union[SplitCount, _Mapping]]] = ..., image_bytes: _Optional[int] = ..., source_format: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.IssueCount, _Mapping]]] = ..., state: _Optional[_Union[DatasetState, str]] = ..., missing: _Optional[_Iterable[str]] = ...) -> None: ...

class SplitCount(_message.Message):
    __slots__ = ("split", "image_count")
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    split: str
    image_count: int
    def __init__(self, split: _Optional[str] = ..., image_count: _Optional[int] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("name", "path", "split", "format", "width", "height", "size", "hash", "orientation", "frame", "annotation_count", "normalised_width", "normalised_height", "url", "preview_url", "url_expire_time", "state", "labels", "annotations")
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
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ..., split: _Optional[str] = ..., format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size: _Optional[int] = ..., hash: _Optional[str] = ..., orientation: _Optional[int] = ..., frame: _Optional[int] = ..., annotation_count: _Optional[int] = ..., normalised_width: _Optional[int] = ..., normalised_height: _Optional[int] = ..., url: _Optional[str] = ..., preview_url: _Optional[str] = ..., url_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[ImageState, str]] = ..., labels: _Optional[_Iterable[str]] = ..., annotations: _Optional[_Iterable[_Union[Annotation, _Mapping]]] = ...) -> None: ...

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
    __slots__ = ("parent", "page_size", "page_token", "filter", "order_by", "view")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    filter: str
    order_by: str
    view: ImageView
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[str] = ..., order_by: _Optional[str] = ..., view: _Optional[_Union[ImageView, str]] = ...) -> None: ...

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
    __slots__ = ("name", "shares", "seed", "stratify", "group", "validate_only", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STRATIFY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    shares: _containers.RepeatedCompositeFieldContainer[SplitShare]
    seed: int
    stratify: bool
    group: SplitGroup
    validate_only: bool
    etag: str
    def __init__(self, name: _Optional[str] = ..., shares: _Optional[_Iterable[_Union[SplitShare, _Mapping]]] = ..., seed: _Optional[int] = ..., stratify: _Optional[bool] = ..., group: _Optional[_Union[SplitGroup, str]] = ..., validate_only: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

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

class ListDatasetsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets", "next_page_token")
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    next_page_token: str
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteDatasetRequest(_message.Message):
    __slots__ = ("name", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ResolveTableRequest(_message.Message):
    __slots__ = ("dataset",)
    DATASET_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    def __init__(self, dataset: _Optional[str] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ("key", "version", "image_count", "annotation_count", "source_format")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    image_count: int
    annotation_count: int
    source_format: str
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., source_format: _Optional[str] = ...) -> None: ...

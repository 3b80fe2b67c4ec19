from framehouse.v1 import annotation_pb2 as _annotation_pb2
from framehouse.v1 import dataset_pb2 as _dataset_pb2
from framehouse.v1 import key_pb2 as _key_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BoxPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BOX_POLICY_UNSPECIFIED: _ClassVar[BoxPolicy]
    BOX_POLICY_KEEP: _ClassVar[BoxPolicy]
    BOX_POLICY_CLAMP: _ClassVar[BoxPolicy]

class CoordinateFrame(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COORDINATE_FRAME_UNSPECIFIED: _ClassVar[CoordinateFrame]
    COORDINATE_FRAME_UPRIGHT: _ClassVar[CoordinateFrame]
    COORDINATE_FRAME_STORED: _ClassVar[CoordinateFrame]

class ErrorPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_POLICY_UNSPECIFIED: _ClassVar[ErrorPolicy]
    ERROR_POLICY_SKIP: _ClassVar[ErrorPolicy]
    ERROR_POLICY_FAIL: _ClassVar[ErrorPolicy]

class SegmentationMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEGMENTATION_MODE_UNSPECIFIED: _ClassVar[SegmentationMode]
    SEGMENTATION_MODE_GUESS: _ClassVar[SegmentationMode]
    SEGMENTATION_MODE_POLYGONS: _ClassVar[SegmentationMode]
    SEGMENTATION_MODE_MASK: _ClassVar[SegmentationMode]

class CategoryIds(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CATEGORY_IDS_UNSPECIFIED: _ClassVar[CategoryIds]
    CATEGORY_IDS_AS_IMPORTED: _ClassVar[CategoryIds]
    CATEGORY_IDS_FROM_0: _ClassVar[CategoryIds]
    CATEGORY_IDS_FROM_1: _ClassVar[CategoryIds]

class LabelMap(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_MAP_UNSPECIFIED: _ClassVar[LabelMap]
    LABEL_MAP_SOURCE: _ClassVar[LabelMap]
    LABEL_MAP_VOC: _ClassVar[LabelMap]

class ImageForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_FORM_UNSPECIFIED: _ClassVar[ImageForm]
    IMAGE_FORM_ORIGINAL: _ClassVar[ImageForm]
    IMAGE_FORM_NORMALISED: _ClassVar[ImageForm]
BOX_POLICY_UNSPECIFIED: BoxPolicy
BOX_POLICY_KEEP: BoxPolicy
BOX_POLICY_CLAMP: BoxPolicy
COORDINATE_FRAME_UNSPECIFIED: CoordinateFrame
COORDINATE_FRAME_UPRIGHT: CoordinateFrame
COORDINATE_FRAME_STORED: CoordinateFrame
ERROR_POLICY_UNSPECIFIED: ErrorPolicy
ERROR_POLICY_SKIP: ErrorPolicy
ERROR_POLICY_FAIL: ErrorPolicy
SEGMENTATION_MODE_UNSPECIFIED: SegmentationMode
SEGMENTATION_MODE_GUESS: SegmentationMode
SEGMENTATION_MODE_POLYGONS: SegmentationMode
SEGMENTATION_MODE_MASK: SegmentationMode
CATEGORY_IDS_UNSPECIFIED: CategoryIds
CATEGORY_IDS_AS_IMPORTED: CategoryIds
CATEGORY_IDS_FROM_0: CategoryIds
CATEGORY_IDS_FROM_1: CategoryIds
LABEL_MAP_UNSPECIFIED: LabelMap
LABEL_MAP_SOURCE: LabelMap
LABEL_MAP_VOC: LabelMap
IMAGE_FORM_UNSPECIFIED: ImageForm
IMAGE_FORM_ORIGINAL: ImageForm
IMAGE_FORM_NORMALISED: ImageForm

class Format(_message.Message):
    __slots__ = ("id", "aliases", "title", "can_read", "can_write", "kinds", "attributes", "crowd", "score", "splits", "options", "tracks", "layout", "notes")
    ID_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CAN_READ_FIELD_NUMBER: _ClassVar[int]
    CAN_WRITE_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CROWD_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    title: str
    can_read: bool
    can_write: bool
    kinds: _containers.RepeatedScalarFieldContainer[_annotation_pb2.AnnotationKind]
    attributes: bool
    crowd: bool
    score: bool
    splits: _containers.RepeatedScalarFieldContainer[str]
    options: _containers.RepeatedCompositeFieldContainer[FormatOption]
    tracks: bool
    layout: str
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., title: _Optional[str] = ..., can_read: _Optional[bool] = ..., can_write: _Optional[bool] = ..., kinds: _Optional[_Iterable[_Union[_annotation_pb2.AnnotationKind, str]]] = ..., attributes: _Optional[bool] = ..., crowd: _Optional[bool] = ..., score: _Optional[bool] = ..., splits: _Optional[_Iterable[str]] = ..., options: _Optional[_Iterable[_Union[FormatOption, _Mapping]]] = ..., tracks: _Optional[bool] = ..., layout: _Optional[str] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class FormatOption(_message.Message):
    __slots__ = ("field", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class PreviewLossRequest(_message.Message):
    __slots__ = ("dataset", "write", "version", "recipe", "check_only")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    CHECK_ONLY_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    write: WriteOptions
    version: int
    recipe: str
    check_only: bool
    def __init__(self, dataset: _Optional[str] = ..., write: _Optional[_Union[WriteOptions, _Mapping]] = ..., version: _Optional[int] = ..., recipe: _Optional[str] = ..., check_only: _Optional[bool] = ...) -> None: ...

class PreviewLossResponse(_message.Message):
    __slots__ = ("format", "losses", "image_count", "refusal")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    format: str
    losses: _containers.RepeatedCompositeFieldContainer[Loss]
    image_count: int
    refusal: str
    def __init__(self, format: _Optional[str] = ..., losses: _Optional[_Iterable[_Union[Loss, _Mapping]]] = ..., image_count: _Optional[int] = ..., refusal: _Optional[str] = ...) -> None: ...

class ListFormatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFormatsResponse(_message.Message):
    __slots__ = ("formats",)
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    formats: _containers.RepeatedCompositeFieldContainer[Format]
    def __init__(self, formats: _Optional[_Iterable[_Union[Format, _Mapping]]] = ...) -> None: ...

class ConvertArchiveRequest(_message.Message):
    __slots__ = ("upload", "read", "write", "request_id", "dry_run")
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    upload: str
    read: ReadOptions
    write: WriteOptions
    request_id: str
    dry_run: bool
    def __init__(self, upload: _Optional[str] = ..., read: _Optional[_Union[ReadOptions, _Mapping]] = ..., write: _Optional[_Union[WriteOptions, _Mapping]] = ..., request_id: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ConvertArchiveResponse(_message.Message):
    __slots__ = ("source_format", "image_count", "annotation_count", "export", "issue_counts", "issues", "losses")
    SOURCE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    ISSUE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    source_format: str
    image_count: int
    annotation_count: int
    export: str
    issue_counts: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.IssueCount]
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.Issue]
    losses: _containers.RepeatedCompositeFieldContainer[Loss]
    def __init__(self, source_format: _Optional[str] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., export: _Optional[str] = ..., issue_counts: _Optional[_Iterable[_Union[_annotation_pb2.IssueCount, _Mapping]]] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.Issue, _Mapping]]] = ..., losses: _Optional[_Iterable[_Union[Loss, _Mapping]]] = ...) -> None: ...

class ReadOptions(_message.Message):
    __slots__ = ("format", "min_side", "on_error", "coordinates", "video", "boxes")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    MIN_SIDE_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    format: str
    min_side: int
    on_error: ErrorPolicy
    coordinates: CoordinateFrame
    video: VideoOptions
    boxes: BoxPolicy
    def __init__(self, format: _Optional[str] = ..., min_side: _Optional[int] = ..., on_error: _Optional[_Union[ErrorPolicy, str]] = ..., coordinates: _Optional[_Union[CoordinateFrame, str]] = ..., video: _Optional[_Union[VideoOptions, _Mapping]] = ..., boxes: _Optional[_Union[BoxPolicy, str]] = ...) -> None: ...

class VideoOptions(_message.Message):
    __slots__ = ("every", "fps")
    EVERY_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    every: int
    fps: float
    def __init__(self, every: _Optional[int] = ..., fps: _Optional[float] = ...) -> None: ...

class WriteOptions(_message.Message):
    __slots__ = ("format", "without_images", "image_form", "splits", "only_annotated", "labels", "strict", "coco", "voc", "filter", "class_changes", "task", "image_format", "image_urls")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_IMAGES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FORM_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    ONLY_ANNOTATED_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    COCO_FIELD_NUMBER: _ClassVar[int]
    VOC_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    CLASS_CHANGES_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_URLS_FIELD_NUMBER: _ClassVar[int]
    format: str
    without_images: bool
    image_form: ImageForm
    splits: _containers.RepeatedScalarFieldContainer[str]
    only_annotated: bool
    labels: _containers.RepeatedScalarFieldContainer[str]
    strict: bool
    coco: CocoWriteOptions
    voc: VocWriteOptions
    filter: str
    class_changes: _containers.RepeatedCompositeFieldContainer[_dataset_pb2.ClassChange]
    task: _dataset_pb2.Task
    image_format: str
    image_urls: bool
    def __init__(self, format: _Optional[str] = ..., without_images: _Optional[bool] = ..., image_form: _Optional[_Union[ImageForm, str]] = ..., splits: _Optional[_Iterable[str]] = ..., only_annotated: _Optional[bool] = ..., labels: _Optional[_Iterable[str]] = ..., strict: _Optional[bool] = ..., coco: _Optional[_Union[CocoWriteOptions, _Mapping]] = ..., voc: _Optional[_Union[VocWriteOptions, _Mapping]] = ..., filter: _Optional[str] = ..., class_changes: _Optional[_Iterable[_Union[_dataset_pb2.ClassChange, _Mapping]]] = ..., task: _Optional[_Union[_dataset_pb2.Task, str]] = ..., image_format: _Optional[str] = ..., image_urls: _Optional[bool] = ...) -> None: ...

class CocoWriteOptions(_message.Message):
    __slots__ = ("segmentation_mode", "reindex", "crop_covered", "merge_images", "category_ids")
    SEGMENTATION_MODE_FIELD_NUMBER: _ClassVar[int]
    REINDEX_FIELD_NUMBER: _ClassVar[int]
    CROP_COVERED_FIELD_NUMBER: _ClassVar[int]
    MERGE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_IDS_FIELD_NUMBER: _ClassVar[int]
    segmentation_mode: SegmentationMode
    reindex: bool
    crop_covered: bool
    merge_images: bool
    category_ids: CategoryIds
    def __init__(self, segmentation_mode: _Optional[_Union[SegmentationMode, str]] = ..., reindex: _Optional[bool] = ..., crop_covered: _Optional[bool] = ..., merge_images: _Optional[bool] = ..., category_ids: _Optional[_Union[CategoryIds, str]] = ...) -> None: ...

class VocWriteOptions(_message.Message):
    __slots__ = ("label_map", "without_colormap", "keep_empty", "paint_polygons")
    LABEL_MAP_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_COLORMAP_FIELD_NUMBER: _ClassVar[int]
    KEEP_EMPTY_FIELD_NUMBER: _ClassVar[int]
    PAINT_POLYGONS_FIELD_NUMBER: _ClassVar[int]
    label_map: LabelMap
    without_colormap: bool
    keep_empty: bool
    paint_polygons: bool
    def __init__(self, label_map: _Optional[_Union[LabelMap, str]] = ..., without_colormap: _Optional[bool] = ..., keep_empty: _Optional[bool] = ..., paint_polygons: _Optional[bool] = ...) -> None: ...

class Loss(_message.Message):
    __slots__ = ("code", "subject", "annotation_count", "fallback", "image_count", "labels")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    code: str
    subject: str
    annotation_count: int
    fallback: str
    image_count: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, code: _Optional[str] = ..., subject: _Optional[str] = ..., annotation_count: _Optional[int] = ..., fallback: _Optional[str] = ..., image_count: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class DetectFormatRequest(_message.Message):
    __slots__ = ("index_key",)
    INDEX_KEY_FIELD_NUMBER: _ClassVar[int]
    index_key: str
    def __init__(self, index_key: _Optional[str] = ...) -> None: ...

class DetectFormatResponse(_message.Message):
    __slots__ = ("candidates",)
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[FormatCandidate]
    def __init__(self, candidates: _Optional[_Iterable[_Union[FormatCandidate, _Mapping]]] = ...) -> None: ...

class FormatCandidate(_message.Message):
    __slots__ = ("format", "confidence", "reason")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    format: str
    confidence: float
    reason: str
    def __init__(self, format: _Optional[str] = ..., confidence: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class PlanReadRequest(_message.Message):
    __slots__ = ("index_key", "format", "output_key", "scratch_prefix", "options", "write")
    INDEX_KEY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    SCRATCH_PREFIX_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    index_key: str
    format: str
    output_key: str
    scratch_prefix: str
    options: ReadOptions
    write: WriteOptions
    def __init__(self, index_key: _Optional[str] = ..., format: _Optional[str] = ..., output_key: _Optional[str] = ..., scratch_prefix: _Optional[str] = ..., options: _Optional[_Union[ReadOptions, _Mapping]] = ..., write: _Optional[_Union[WriteOptions, _Mapping]] = ...) -> None: ...

class PlanReadResponse(_message.Message):
    __slots__ = ("format", "shard_count", "part_count", "aligned", "image_count", "issues")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SHARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    PART_COUNT_FIELD_NUMBER: _ClassVar[int]
    ALIGNED_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    format: str
    shard_count: int
    part_count: int
    aligned: bool
    image_count: int
    issues: _annotation_pb2.StepIssues
    def __init__(self, format: _Optional[str] = ..., shard_count: _Optional[int] = ..., part_count: _Optional[int] = ..., aligned: _Optional[bool] = ..., image_count: _Optional[int] = ..., issues: _Optional[_Union[_annotation_pb2.StepIssues, _Mapping]] = ...) -> None: ...

class ReadShardRequest(_message.Message):
    __slots__ = ("plan_key", "part", "media_key", "output_key")
    PLAN_KEY_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    MEDIA_KEY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    plan_key: str
    part: int
    media_key: str
    output_key: str
    def __init__(self, plan_key: _Optional[str] = ..., part: _Optional[int] = ..., media_key: _Optional[str] = ..., output_key: _Optional[str] = ...) -> None: ...

class ReadShardResponse(_message.Message):
    __slots__ = ("annotation_count", "shards", "issues")
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    annotation_count: int
    shards: _containers.RepeatedScalarFieldContainer[int]
    issues: _annotation_pb2.StepIssues
    def __init__(self, annotation_count: _Optional[int] = ..., shards: _Optional[_Iterable[int]] = ..., issues: _Optional[_Union[_annotation_pb2.StepIssues, _Mapping]] = ...) -> None: ...

class PlanWriteRequest(_message.Message):
    __slots__ = ("table", "options", "output_key", "selection_key", "dataset")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    SELECTION_KEY_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    table: _dataset_pb2.Table
    options: WriteOptions
    output_key: str
    selection_key: str
    dataset: _dataset_pb2.Dataset
    def __init__(self, table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ..., options: _Optional[_Union[WriteOptions, _Mapping]] = ..., output_key: _Optional[str] = ..., selection_key: _Optional[str] = ..., dataset: _Optional[_Union[_dataset_pb2.Dataset, _Mapping]] = ...) -> None: ...

class PlanWriteResponse(_message.Message):
    __slots__ = ("format", "shard_count", "losses", "image_count", "annotation_count")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SHARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    format: str
    shard_count: int
    losses: _containers.RepeatedCompositeFieldContainer[Loss]
    image_count: int
    annotation_count: int
    def __init__(self, format: _Optional[str] = ..., shard_count: _Optional[int] = ..., losses: _Optional[_Iterable[_Union[Loss, _Mapping]]] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ...) -> None: ...

class WriteShardRequest(_message.Message):
    __slots__ = ("plan_key", "shard", "output_key")
    PLAN_KEY_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    plan_key: str
    shard: int
    output_key: str
    def __init__(self, plan_key: _Optional[str] = ..., shard: _Optional[int] = ..., output_key: _Optional[str] = ...) -> None: ...

class WriteShardResponse(_message.Message):
    __slots__ = ("piece_count", "byte_count")
    PIECE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTE_COUNT_FIELD_NUMBER: _ClassVar[int]
    piece_count: int
    byte_count: int
    def __init__(self, piece_count: _Optional[int] = ..., byte_count: _Optional[int] = ...) -> None: ...

class FinishWriteRequest(_message.Message):
    __slots__ = ("plan_key", "output_key")
    PLAN_KEY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    plan_key: str
    output_key: str
    def __init__(self, plan_key: _Optional[str] = ..., output_key: _Optional[str] = ...) -> None: ...

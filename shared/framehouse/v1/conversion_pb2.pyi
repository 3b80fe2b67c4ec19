from framehouse.v1 import annotation_pb2 as _annotation_pb2
from framehouse.v1 import dataset_pb2 as _dataset_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_POLICY_UNSPECIFIED: _ClassVar[ErrorPolicy]
    ERROR_POLICY_SKIP: _ClassVar[ErrorPolicy]
    ERROR_POLICY_FAIL: _ClassVar[ErrorPolicy]
ERROR_POLICY_UNSPECIFIED: ErrorPolicy
ERROR_POLICY_SKIP: ErrorPolicy
ERROR_POLICY_FAIL: ErrorPolicy

class Format(_message.Message):
    __slots__ = ("id", "aliases", "title", "can_read", "can_write", "kinds", "attributes", "crowd", "score", "splits")
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
    def __init__(self, id: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., title: _Optional[str] = ..., can_read: _Optional[bool] = ..., can_write: _Optional[bool] = ..., kinds: _Optional[_Iterable[_Union[_annotation_pb2.AnnotationKind, str]]] = ..., attributes: _Optional[bool] = ..., crowd: _Optional[bool] = ..., score: _Optional[bool] = ..., splits: _Optional[_Iterable[str]] = ...) -> None: ...

class ListFormatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFormatsResponse(_message.Message):
    __slots__ = ("formats",)
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    formats: _containers.RepeatedCompositeFieldContainer[Format]
    def __init__(self, formats: _Optional[_Iterable[_Union[Format, _Mapping]]] = ...) -> None: ...

class ConvertArchiveRequest(_message.Message):
    __slots__ = ("upload", "read", "write", "request_id")
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    upload: str
    read: ReadOptions
    write: WriteOptions
    request_id: str
    def __init__(self, upload: _Optional[str] = ..., read: _Optional[_Union[ReadOptions, _Mapping]] = ..., write: _Optional[_Union[WriteOptions, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("format", "min_side", "on_error")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    MIN_SIDE_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    format: str
    min_side: int
    on_error: ErrorPolicy
    def __init__(self, format: _Optional[str] = ..., min_side: _Optional[int] = ..., on_error: _Optional[_Union[ErrorPolicy, str]] = ...) -> None: ...

class WriteOptions(_message.Message):
    __slots__ = ("format", "without_images")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_IMAGES_FIELD_NUMBER: _ClassVar[int]
    format: str
    without_images: bool
    def __init__(self, format: _Optional[str] = ..., without_images: _Optional[bool] = ...) -> None: ...

class Loss(_message.Message):
    __slots__ = ("code", "subject", "annotation_count", "fallback")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    code: str
    subject: str
    annotation_count: int
    fallback: str
    def __init__(self, code: _Optional[str] = ..., subject: _Optional[str] = ..., annotation_count: _Optional[int] = ..., fallback: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("index_key", "format", "output_key", "scratch_prefix")
    INDEX_KEY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    SCRATCH_PREFIX_FIELD_NUMBER: _ClassVar[int]
    index_key: str
    format: str
    output_key: str
    scratch_prefix: str
    def __init__(self, index_key: _Optional[str] = ..., format: _Optional[str] = ..., output_key: _Optional[str] = ..., scratch_prefix: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("table", "options", "output_key")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    table: _dataset_pb2.Table
    options: WriteOptions
    output_key: str
    def __init__(self, table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ..., options: _Optional[_Union[WriteOptions, _Mapping]] = ..., output_key: _Optional[str] = ...) -> None: ...

class PlanWriteResponse(_message.Message):
    __slots__ = ("format", "shard_count", "losses")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SHARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    format: str
    shard_count: int
    losses: _containers.RepeatedCompositeFieldContainer[Loss]
    def __init__(self, format: _Optional[str] = ..., shard_count: _Optional[int] = ..., losses: _Optional[_Iterable[_Union[Loss, _Mapping]]] = ...) -> None: ...

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

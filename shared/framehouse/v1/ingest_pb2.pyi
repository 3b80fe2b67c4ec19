import datetime

from framehouse.v1 import annotation_pb2 as _annotation_pb2
from framehouse.v1 import conversion_pb2 as _conversion_pb2
from framehouse.v1 import dataset_pb2 as _dataset_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UploadState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPLOAD_STATE_UNSPECIFIED: _ClassVar[UploadState]
    UPLOAD_STATE_OPEN: _ClassVar[UploadState]
    UPLOAD_STATE_COMPLETE: _ClassVar[UploadState]
UPLOAD_STATE_UNSPECIFIED: UploadState
UPLOAD_STATE_OPEN: UploadState
UPLOAD_STATE_COMPLETE: UploadState

class Upload(_message.Message):
    __slots__ = ("name", "state", "file_name", "size", "part_size", "parts", "expire_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PART_SIZE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: UploadState
    file_name: str
    size: int
    part_size: int
    parts: _containers.RepeatedCompositeFieldContainer[UploadPart]
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[UploadState, str]] = ..., file_name: _Optional[str] = ..., size: _Optional[int] = ..., part_size: _Optional[int] = ..., parts: _Optional[_Iterable[_Union[UploadPart, _Mapping]]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UploadPart(_message.Message):
    __slots__ = ("number", "url", "etag")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    number: int
    url: str
    etag: str
    def __init__(self, number: _Optional[int] = ..., url: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class CreateUploadRequest(_message.Message):
    __slots__ = ("file_name", "size")
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    file_name: str
    size: int
    def __init__(self, file_name: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class CompleteUploadRequest(_message.Message):
    __slots__ = ("name", "parts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    parts: _containers.RepeatedCompositeFieldContainer[CompletedPart]
    def __init__(self, name: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[CompletedPart, _Mapping]]] = ...) -> None: ...

class CompletedPart(_message.Message):
    __slots__ = ("number", "etag")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    number: int
    etag: str
    def __init__(self, number: _Optional[int] = ..., etag: _Optional[str] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListIssuesRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "code", "severity")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    code: str
    severity: _annotation_pb2.Severity
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., code: _Optional[str] = ..., severity: _Optional[_Union[_annotation_pb2.Severity, str]] = ...) -> None: ...

class ListIssuesResponse(_message.Message):
    __slots__ = ("issues", "next_page_token", "total_size")
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.Issue]
    next_page_token: str
    total_size: int
    def __init__(self, issues: _Optional[_Iterable[_Union[_annotation_pb2.Issue, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class AbortUploadRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ImportDatasetRequest(_message.Message):
    __slots__ = ("parent", "dataset_id", "upload", "display_name", "read", "request_id")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    parent: str
    dataset_id: str
    upload: str
    display_name: str
    read: _conversion_pb2.ReadOptions
    request_id: str
    def __init__(self, parent: _Optional[str] = ..., dataset_id: _Optional[str] = ..., upload: _Optional[str] = ..., display_name: _Optional[str] = ..., read: _Optional[_Union[_conversion_pb2.ReadOptions, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ImportDatasetResponse(_message.Message):
    __slots__ = ("dataset", "issue_counts", "issues")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    ISSUE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    dataset: _dataset_pb2.Dataset
    issue_counts: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.IssueCount]
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.Issue]
    def __init__(self, dataset: _Optional[_Union[_dataset_pb2.Dataset, _Mapping]] = ..., issue_counts: _Optional[_Iterable[_Union[_annotation_pb2.IssueCount, _Mapping]]] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.Issue, _Mapping]]] = ...) -> None: ...

class IndexUploadRequest(_message.Message):
    __slots__ = ("upload", "output_key")
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    upload: str
    output_key: str
    def __init__(self, upload: _Optional[str] = ..., output_key: _Optional[str] = ...) -> None: ...

class IndexUploadResponse(_message.Message):
    __slots__ = ("entry_count", "image_count", "byte_count", "issues")
    ENTRY_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    entry_count: int
    image_count: int
    byte_count: int
    issues: _annotation_pb2.StepIssues
    def __init__(self, entry_count: _Optional[int] = ..., image_count: _Optional[int] = ..., byte_count: _Optional[int] = ..., issues: _Optional[_Union[_annotation_pb2.StepIssues, _Mapping]] = ...) -> None: ...

class JoinShardsRequest(_message.Message):
    __slots__ = ("plan_key", "first_shard", "media_keys", "label_keys", "table_key", "output_key")
    PLAN_KEY_FIELD_NUMBER: _ClassVar[int]
    FIRST_SHARD_FIELD_NUMBER: _ClassVar[int]
    MEDIA_KEYS_FIELD_NUMBER: _ClassVar[int]
    LABEL_KEYS_FIELD_NUMBER: _ClassVar[int]
    TABLE_KEY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    plan_key: str
    first_shard: int
    media_keys: _containers.RepeatedScalarFieldContainer[str]
    label_keys: _containers.RepeatedScalarFieldContainer[str]
    table_key: str
    output_key: str
    def __init__(self, plan_key: _Optional[str] = ..., first_shard: _Optional[int] = ..., media_keys: _Optional[_Iterable[str]] = ..., label_keys: _Optional[_Iterable[str]] = ..., table_key: _Optional[str] = ..., output_key: _Optional[str] = ...) -> None: ...

class JoinShardsResponse(_message.Message):
    __slots__ = ("image_count", "annotation_count", "issues")
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    image_count: int
    annotation_count: int
    issues: _annotation_pb2.StepIssues
    def __init__(self, image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., issues: _Optional[_Union[_annotation_pb2.StepIssues, _Mapping]] = ...) -> None: ...

class CommitTableRequest(_message.Message):
    __slots__ = ("plan_key", "table_key", "fragments_keys", "job_prefix", "issues_key")
    PLAN_KEY_FIELD_NUMBER: _ClassVar[int]
    TABLE_KEY_FIELD_NUMBER: _ClassVar[int]
    FRAGMENTS_KEYS_FIELD_NUMBER: _ClassVar[int]
    JOB_PREFIX_FIELD_NUMBER: _ClassVar[int]
    ISSUES_KEY_FIELD_NUMBER: _ClassVar[int]
    plan_key: str
    table_key: str
    fragments_keys: _containers.RepeatedScalarFieldContainer[str]
    job_prefix: str
    issues_key: str
    def __init__(self, plan_key: _Optional[str] = ..., table_key: _Optional[str] = ..., fragments_keys: _Optional[_Iterable[str]] = ..., job_prefix: _Optional[str] = ..., issues_key: _Optional[str] = ...) -> None: ...

class CommitTableResponse(_message.Message):
    __slots__ = ("table", "issue_counts", "issues")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ISSUE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    table: _dataset_pb2.Table
    issue_counts: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.IssueCount]
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.Issue]
    def __init__(self, table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ..., issue_counts: _Optional[_Iterable[_Union[_annotation_pb2.IssueCount, _Mapping]]] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.Issue, _Mapping]]] = ...) -> None: ...

class PublishDatasetRequest(_message.Message):
    __slots__ = ("name", "display_name", "uid", "table", "issues")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    uid: str
    table: _dataset_pb2.Table
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.IssueCount]
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., uid: _Optional[str] = ..., table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.IssueCount, _Mapping]]] = ...) -> None: ...

class KeepIssuesRequest(_message.Message):
    __slots__ = ("job_prefix", "issues_key")
    JOB_PREFIX_FIELD_NUMBER: _ClassVar[int]
    ISSUES_KEY_FIELD_NUMBER: _ClassVar[int]
    job_prefix: str
    issues_key: str
    def __init__(self, job_prefix: _Optional[str] = ..., issues_key: _Optional[str] = ...) -> None: ...

class CleanUpJobRequest(_message.Message):
    __slots__ = ("prefixes",)
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prefixes: _Optional[_Iterable[str]] = ...) -> None: ...

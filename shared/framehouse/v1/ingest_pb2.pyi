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

class AddPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADD_POLICY_UNSPECIFIED: _ClassVar[AddPolicy]
    ADD_POLICY_REPLACE: _ClassVar[AddPolicy]
    ADD_POLICY_KEEP: _ClassVar[AddPolicy]
    ADD_POLICY_RENAME: _ClassVar[AddPolicy]
    ADD_POLICY_FAIL: _ClassVar[AddPolicy]
    ADD_POLICY_MERGE: _ClassVar[AddPolicy]
UPLOAD_STATE_UNSPECIFIED: UploadState
UPLOAD_STATE_OPEN: UploadState
UPLOAD_STATE_COMPLETE: UploadState
ADD_POLICY_UNSPECIFIED: AddPolicy
ADD_POLICY_REPLACE: AddPolicy
ADD_POLICY_KEEP: AddPolicy
ADD_POLICY_RENAME: AddPolicy
ADD_POLICY_FAIL: AddPolicy
ADD_POLICY_MERGE: AddPolicy

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

class SendUploadRequest(_message.Message):
    __slots__ = ("file_name", "data")
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    file_name: str
    data: bytes
    def __init__(self, file_name: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class FetchUploadRequest(_message.Message):
    __slots__ = ("urls", "s3_prefix", "request_id")
    URLS_FIELD_NUMBER: _ClassVar[int]
    S3_PREFIX_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    urls: UrlList
    s3_prefix: str
    request_id: str
    def __init__(self, urls: _Optional[_Union[UrlList, _Mapping]] = ..., s3_prefix: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UrlList(_message.Message):
    __slots__ = ("urls",)
    URLS_FIELD_NUMBER: _ClassVar[int]
    urls: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, urls: _Optional[_Iterable[str]] = ...) -> None: ...

class FetchFilesRequest(_message.Message):
    __slots__ = ("source", "first", "count", "list_key", "pack_key", "output_key")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    LIST_KEY_FIELD_NUMBER: _ClassVar[int]
    PACK_KEY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    source: FetchUploadRequest
    first: int
    count: int
    list_key: str
    pack_key: str
    output_key: str
    def __init__(self, source: _Optional[_Union[FetchUploadRequest, _Mapping]] = ..., first: _Optional[int] = ..., count: _Optional[int] = ..., list_key: _Optional[str] = ..., pack_key: _Optional[str] = ..., output_key: _Optional[str] = ...) -> None: ...

class FetchFilesResponse(_message.Message):
    __slots__ = ("file_count", "byte_count", "issues")
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    file_count: int
    byte_count: int
    issues: _annotation_pb2.StepIssues
    def __init__(self, file_count: _Optional[int] = ..., byte_count: _Optional[int] = ..., issues: _Optional[_Union[_annotation_pb2.StepIssues, _Mapping]] = ...) -> None: ...

class FinishFetchRequest(_message.Message):
    __slots__ = ("upload_id", "file_name", "index_keys", "owner")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_KEYS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    file_name: str
    index_keys: _containers.RepeatedScalarFieldContainer[str]
    owner: str
    def __init__(self, upload_id: _Optional[str] = ..., file_name: _Optional[str] = ..., index_keys: _Optional[_Iterable[str]] = ..., owner: _Optional[str] = ...) -> None: ...

class AddFramesRequest(_message.Message):
    __slots__ = ("index_key", "frames_prefix", "video_count", "output_key")
    INDEX_KEY_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PREFIX_FIELD_NUMBER: _ClassVar[int]
    VIDEO_COUNT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    index_key: str
    frames_prefix: str
    video_count: int
    output_key: str
    def __init__(self, index_key: _Optional[str] = ..., frames_prefix: _Optional[str] = ..., video_count: _Optional[int] = ..., output_key: _Optional[str] = ...) -> None: ...

class AddFramesResponse(_message.Message):
    __slots__ = ("frame_count",)
    FRAME_COUNT_FIELD_NUMBER: _ClassVar[int]
    frame_count: int
    def __init__(self, frame_count: _Optional[int] = ...) -> None: ...

class LookUpContentsRequest(_message.Message):
    __slots__ = ("keys", "max_side", "job")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[ContentKey]
    max_side: int
    job: str
    def __init__(self, keys: _Optional[_Iterable[_Union[ContentKey, _Mapping]]] = ..., max_side: _Optional[int] = ..., job: _Optional[str] = ...) -> None: ...

class ContentKey(_message.Message):
    __slots__ = ("size", "crc32")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    size: int
    crc32: int
    def __init__(self, size: _Optional[int] = ..., crc32: _Optional[int] = ...) -> None: ...

class LookUpContentsResponse(_message.Message):
    __slots__ = ("contents",)
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    contents: _containers.RepeatedCompositeFieldContainer[Content]
    def __init__(self, contents: _Optional[_Iterable[_Union[Content, _Mapping]]] = ...) -> None: ...

class Content(_message.Message):
    __slots__ = ("hash", "size", "row", "remarks")
    HASH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    REMARKS_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    size: int
    row: bytes
    remarks: bytes
    def __init__(self, hash: _Optional[bytes] = ..., size: _Optional[int] = ..., row: _Optional[bytes] = ..., remarks: _Optional[bytes] = ...) -> None: ...

class RecordContentsRequest(_message.Message):
    __slots__ = ("contents", "max_side")
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    contents: _containers.RepeatedCompositeFieldContainer[Content]
    max_side: int
    def __init__(self, contents: _Optional[_Iterable[_Union[Content, _Mapping]]] = ..., max_side: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("parent", "dataset_id", "upload", "display_name", "read", "request_id", "add", "max_side", "drop_originals", "tag")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    DROP_ORIGINALS_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    parent: str
    dataset_id: str
    upload: str
    display_name: str
    read: _conversion_pb2.ReadOptions
    request_id: str
    add: AddPolicy
    max_side: int
    drop_originals: bool
    tag: str
    def __init__(self, parent: _Optional[str] = ..., dataset_id: _Optional[str] = ..., upload: _Optional[str] = ..., display_name: _Optional[str] = ..., read: _Optional[_Union[_conversion_pb2.ReadOptions, _Mapping]] = ..., request_id: _Optional[str] = ..., add: _Optional[_Union[AddPolicy, str]] = ..., max_side: _Optional[int] = ..., drop_originals: _Optional[bool] = ..., tag: _Optional[str] = ...) -> None: ...

class ImportDatasetResponse(_message.Message):
    __slots__ = ("dataset", "issue_counts", "issues", "added", "job")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    ISSUE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    dataset: _dataset_pb2.Dataset
    issue_counts: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.IssueCount]
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.Issue]
    added: AddSummary
    job: str
    def __init__(self, dataset: _Optional[_Union[_dataset_pb2.Dataset, _Mapping]] = ..., issue_counts: _Optional[_Iterable[_Union[_annotation_pb2.IssueCount, _Mapping]]] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.Issue, _Mapping]]] = ..., added: _Optional[_Union[AddSummary, _Mapping]] = ..., job: _Optional[str] = ...) -> None: ...

class AddSummary(_message.Message):
    __slots__ = ("added_count", "unchanged_count", "annotated_count", "replaced_count", "kept_count", "renamed_count", "added_labels", "merged_count")
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REPLACED_COUNT_FIELD_NUMBER: _ClassVar[int]
    KEPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    RENAMED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ADDED_LABELS_FIELD_NUMBER: _ClassVar[int]
    MERGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    added_count: int
    unchanged_count: int
    annotated_count: int
    replaced_count: int
    kept_count: int
    renamed_count: int
    added_labels: _containers.RepeatedScalarFieldContainer[str]
    merged_count: int
    def __init__(self, added_count: _Optional[int] = ..., unchanged_count: _Optional[int] = ..., annotated_count: _Optional[int] = ..., replaced_count: _Optional[int] = ..., kept_count: _Optional[int] = ..., renamed_count: _Optional[int] = ..., added_labels: _Optional[_Iterable[str]] = ..., merged_count: _Optional[int] = ...) -> None: ...

class IndexUploadRequest(_message.Message):
    __slots__ = ("upload", "output_key")
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    upload: str
    output_key: str
    def __init__(self, upload: _Optional[str] = ..., output_key: _Optional[str] = ...) -> None: ...

class IndexUploadResponse(_message.Message):
    __slots__ = ("entry_count", "image_count", "byte_count", "issues", "video_count")
    ENTRY_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    VIDEO_COUNT_FIELD_NUMBER: _ClassVar[int]
    entry_count: int
    image_count: int
    byte_count: int
    issues: _annotation_pb2.StepIssues
    video_count: int
    def __init__(self, entry_count: _Optional[int] = ..., image_count: _Optional[int] = ..., byte_count: _Optional[int] = ..., issues: _Optional[_Union[_annotation_pb2.StepIssues, _Mapping]] = ..., video_count: _Optional[int] = ...) -> None: ...

class JoinShardsRequest(_message.Message):
    __slots__ = ("plan_key", "first_shard", "media_keys", "label_keys", "table_key", "output_key", "job")
    PLAN_KEY_FIELD_NUMBER: _ClassVar[int]
    FIRST_SHARD_FIELD_NUMBER: _ClassVar[int]
    MEDIA_KEYS_FIELD_NUMBER: _ClassVar[int]
    LABEL_KEYS_FIELD_NUMBER: _ClassVar[int]
    TABLE_KEY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    plan_key: str
    first_shard: int
    media_keys: _containers.RepeatedScalarFieldContainer[str]
    label_keys: _containers.RepeatedScalarFieldContainer[str]
    table_key: str
    output_key: str
    job: str
    def __init__(self, plan_key: _Optional[str] = ..., first_shard: _Optional[int] = ..., media_keys: _Optional[_Iterable[str]] = ..., label_keys: _Optional[_Iterable[str]] = ..., table_key: _Optional[str] = ..., output_key: _Optional[str] = ..., job: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("name", "display_name", "uid", "table", "issues", "tag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    uid: str
    table: _dataset_pb2.Table
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.IssueCount]
    tag: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., uid: _Optional[str] = ..., table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.IssueCount, _Mapping]]] = ..., tag: _Optional[str] = ...) -> None: ...

class AddToDatasetRequest(_message.Message):
    __slots__ = ("name", "table", "policy", "job", "issues", "tag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    table: _dataset_pb2.Table
    policy: AddPolicy
    job: str
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.IssueCount]
    tag: str
    def __init__(self, name: _Optional[str] = ..., table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ..., policy: _Optional[_Union[AddPolicy, str]] = ..., job: _Optional[str] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.IssueCount, _Mapping]]] = ..., tag: _Optional[str] = ...) -> None: ...

class AddToDatasetResponse(_message.Message):
    __slots__ = ("dataset", "table", "summary")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    dataset: _dataset_pb2.Dataset
    table: _dataset_pb2.Table
    summary: AddSummary
    def __init__(self, dataset: _Optional[_Union[_dataset_pb2.Dataset, _Mapping]] = ..., table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ..., summary: _Optional[_Union[AddSummary, _Mapping]] = ...) -> None: ...

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

import datetime

from framehouse.v1 import conversion_pb2 as _conversion_pb2
from framehouse.v1 import dataset_pb2 as _dataset_pb2
from framehouse.v1 import key_pb2 as _key_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Export(_message.Message):
    __slots__ = ("name", "file_name", "format", "size", "image_count", "annotation_count", "url", "url_expire_time", "create_time", "dataset", "version", "files", "expire_time", "write", "losses", "owner")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    URL_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    name: str
    file_name: str
    format: str
    size: int
    image_count: int
    annotation_count: int
    url: str
    url_expire_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    dataset: str
    version: int
    files: _containers.RepeatedCompositeFieldContainer[ExportFile]
    expire_time: _timestamp_pb2.Timestamp
    write: _conversion_pb2.WriteOptions
    losses: _containers.RepeatedCompositeFieldContainer[_conversion_pb2.Loss]
    owner: str
    def __init__(self, name: _Optional[str] = ..., file_name: _Optional[str] = ..., format: _Optional[str] = ..., size: _Optional[int] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., url: _Optional[str] = ..., url_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dataset: _Optional[str] = ..., version: _Optional[int] = ..., files: _Optional[_Iterable[_Union[ExportFile, _Mapping]]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., write: _Optional[_Union[_conversion_pb2.WriteOptions, _Mapping]] = ..., losses: _Optional[_Iterable[_Union[_conversion_pb2.Loss, _Mapping]]] = ..., owner: _Optional[str] = ...) -> None: ...

class ExportFile(_message.Message):
    __slots__ = ("name", "size", "hash", "url")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    hash: str
    url: str
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., hash: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...

class ExportDatasetRequest(_message.Message):
    __slots__ = ("dataset", "write", "request_id", "version", "recipe", "volume_bytes", "keep_seconds")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEEP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    write: _conversion_pb2.WriteOptions
    request_id: str
    version: int
    recipe: str
    volume_bytes: int
    keep_seconds: int
    def __init__(self, dataset: _Optional[str] = ..., write: _Optional[_Union[_conversion_pb2.WriteOptions, _Mapping]] = ..., request_id: _Optional[str] = ..., version: _Optional[int] = ..., recipe: _Optional[str] = ..., volume_bytes: _Optional[int] = ..., keep_seconds: _Optional[int] = ...) -> None: ...

class ExportDatasetResponse(_message.Message):
    __slots__ = ("export", "losses", "reused")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    REUSED_FIELD_NUMBER: _ClassVar[int]
    export: Export
    losses: _containers.RepeatedCompositeFieldContainer[_conversion_pb2.Loss]
    reused: bool
    def __init__(self, export: _Optional[_Union[Export, _Mapping]] = ..., losses: _Optional[_Iterable[_Union[_conversion_pb2.Loss, _Mapping]]] = ..., reused: _Optional[bool] = ...) -> None: ...

class GetExportRequest(_message.Message):
    __slots__ = ("name", "url_seconds")
    NAME_FIELD_NUMBER: _ClassVar[int]
    URL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    url_seconds: int
    def __init__(self, name: _Optional[str] = ..., url_seconds: _Optional[int] = ...) -> None: ...

class ListExportsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "dataset")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    dataset: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class ListExportsResponse(_message.Message):
    __slots__ = ("exports", "next_page_token")
    EXPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    exports: _containers.RepeatedCompositeFieldContainer[Export]
    next_page_token: str
    def __init__(self, exports: _Optional[_Iterable[_Union[Export, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteExportRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class FindExportRequest(_message.Message):
    __slots__ = ("request", "table")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    request: ExportDatasetRequest
    table: _dataset_pb2.Table
    def __init__(self, request: _Optional[_Union[ExportDatasetRequest, _Mapping]] = ..., table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ...) -> None: ...

class AssembleArchiveRequest(_message.Message):
    __slots__ = ("export", "file_name", "format", "image_count", "annotation_count", "bundle_prefix", "bundle_count", "last_bundle_key", "request", "table", "losses", "owner")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_PREFIX_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_BUNDLE_KEY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    export: str
    file_name: str
    format: str
    image_count: int
    annotation_count: int
    bundle_prefix: str
    bundle_count: int
    last_bundle_key: str
    request: ExportDatasetRequest
    table: _dataset_pb2.Table
    losses: _containers.RepeatedCompositeFieldContainer[_conversion_pb2.Loss]
    owner: str
    def __init__(self, export: _Optional[str] = ..., file_name: _Optional[str] = ..., format: _Optional[str] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., bundle_prefix: _Optional[str] = ..., bundle_count: _Optional[int] = ..., last_bundle_key: _Optional[str] = ..., request: _Optional[_Union[ExportDatasetRequest, _Mapping]] = ..., table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ..., losses: _Optional[_Iterable[_Union[_conversion_pb2.Loss, _Mapping]]] = ..., owner: _Optional[str] = ...) -> None: ...

class AssembleSnapshotRequest(_message.Message):
    __slots__ = ("uid", "number", "bundle_prefix", "bundle_count", "last_bundle_key")
    UID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_PREFIX_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_BUNDLE_KEY_FIELD_NUMBER: _ClassVar[int]
    uid: str
    number: int
    bundle_prefix: str
    bundle_count: int
    last_bundle_key: str
    def __init__(self, uid: _Optional[str] = ..., number: _Optional[int] = ..., bundle_prefix: _Optional[str] = ..., bundle_count: _Optional[int] = ..., last_bundle_key: _Optional[str] = ...) -> None: ...

class AssembleSnapshotResponse(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class SnapshotVersionRequest(_message.Message):
    __slots__ = ("uid", "number", "table", "dataset")
    UID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    uid: str
    number: int
    table: _dataset_pb2.Table
    dataset: _dataset_pb2.Dataset
    def __init__(self, uid: _Optional[str] = ..., number: _Optional[int] = ..., table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ..., dataset: _Optional[_Union[_dataset_pb2.Dataset, _Mapping]] = ...) -> None: ...

import datetime

from framehouse.v1 import conversion_pb2 as _conversion_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Export(_message.Message):
    __slots__ = ("name", "file_name", "format", "size", "image_count", "annotation_count", "url", "url_expire_time", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    URL_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    file_name: str
    format: str
    size: int
    image_count: int
    annotation_count: int
    url: str
    url_expire_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., file_name: _Optional[str] = ..., format: _Optional[str] = ..., size: _Optional[int] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., url: _Optional[str] = ..., url_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExportDatasetRequest(_message.Message):
    __slots__ = ("dataset", "write", "request_id")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    write: _conversion_pb2.WriteOptions
    request_id: str
    def __init__(self, dataset: _Optional[str] = ..., write: _Optional[_Union[_conversion_pb2.WriteOptions, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ExportDatasetResponse(_message.Message):
    __slots__ = ("export", "losses")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    export: Export
    losses: _containers.RepeatedCompositeFieldContainer[_conversion_pb2.Loss]
    def __init__(self, export: _Optional[_Union[Export, _Mapping]] = ..., losses: _Optional[_Iterable[_Union[_conversion_pb2.Loss, _Mapping]]] = ...) -> None: ...

class GetExportRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class AssembleArchiveRequest(_message.Message):
    __slots__ = ("export", "file_name", "format", "image_count", "annotation_count", "bundle_prefix", "bundle_count", "last_bundle_key")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_PREFIX_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_BUNDLE_KEY_FIELD_NUMBER: _ClassVar[int]
    export: str
    file_name: str
    format: str
    image_count: int
    annotation_count: int
    bundle_prefix: str
    bundle_count: int
    last_bundle_key: str
    def __init__(self, export: _Optional[str] = ..., file_name: _Optional[str] = ..., format: _Optional[str] = ..., image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., bundle_prefix: _Optional[str] = ..., bundle_count: _Optional[int] = ..., last_bundle_key: _Optional[str] = ...) -> None: ...

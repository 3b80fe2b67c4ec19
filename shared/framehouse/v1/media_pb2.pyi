from framehouse.v1 import annotation_pb2 as _annotation_pb2
from framehouse.v1 import conversion_pb2 as _conversion_pb2
from framehouse.v1 import key_pb2 as _key_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MediaDepth(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEDIA_DEPTH_UNSPECIFIED: _ClassVar[MediaDepth]
    MEDIA_DEPTH_FULL: _ClassVar[MediaDepth]
    MEDIA_DEPTH_HEADER: _ClassVar[MediaDepth]

class RenderFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RENDER_FORMAT_UNSPECIFIED: _ClassVar[RenderFormat]
    RENDER_FORMAT_WEBP: _ClassVar[RenderFormat]
    RENDER_FORMAT_JPEG: _ClassVar[RenderFormat]
    RENDER_FORMAT_PNG: _ClassVar[RenderFormat]
MEDIA_DEPTH_UNSPECIFIED: MediaDepth
MEDIA_DEPTH_FULL: MediaDepth
MEDIA_DEPTH_HEADER: MediaDepth
RENDER_FORMAT_UNSPECIFIED: RenderFormat
RENDER_FORMAT_WEBP: RenderFormat
RENDER_FORMAT_JPEG: RenderFormat
RENDER_FORMAT_PNG: RenderFormat

class ProcessShardRequest(_message.Message):
    __slots__ = ("plan_key", "shard", "depth", "min_side", "output_key", "derived_key", "max_side", "drop_originals")
    PLAN_KEY_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    MIN_SIDE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    DERIVED_KEY_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    DROP_ORIGINALS_FIELD_NUMBER: _ClassVar[int]
    plan_key: str
    shard: int
    depth: MediaDepth
    min_side: int
    output_key: str
    derived_key: str
    max_side: int
    drop_originals: bool
    def __init__(self, plan_key: _Optional[str] = ..., shard: _Optional[int] = ..., depth: _Optional[_Union[MediaDepth, str]] = ..., min_side: _Optional[int] = ..., output_key: _Optional[str] = ..., derived_key: _Optional[str] = ..., max_side: _Optional[int] = ..., drop_originals: _Optional[bool] = ...) -> None: ...

class ProcessShardResponse(_message.Message):
    __slots__ = ("image_count", "byte_count", "issues")
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    image_count: int
    byte_count: int
    issues: _annotation_pb2.StepIssues
    def __init__(self, image_count: _Optional[int] = ..., byte_count: _Optional[int] = ..., issues: _Optional[_Union[_annotation_pb2.StepIssues, _Mapping]] = ...) -> None: ...

class ExtractFramesRequest(_message.Message):
    __slots__ = ("videos_key", "video", "options", "pack_key", "output_key")
    VIDEOS_KEY_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PACK_KEY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    videos_key: str
    video: int
    options: _conversion_pb2.VideoOptions
    pack_key: str
    output_key: str
    def __init__(self, videos_key: _Optional[str] = ..., video: _Optional[int] = ..., options: _Optional[_Union[_conversion_pb2.VideoOptions, _Mapping]] = ..., pack_key: _Optional[str] = ..., output_key: _Optional[str] = ...) -> None: ...

class ExtractFramesResponse(_message.Message):
    __slots__ = ("frame_count", "issues")
    FRAME_COUNT_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    frame_count: int
    issues: _annotation_pb2.StepIssues
    def __init__(self, frame_count: _Optional[int] = ..., issues: _Optional[_Union[_annotation_pb2.StepIssues, _Mapping]] = ...) -> None: ...

class ProbeImageRequest(_message.Message):
    __slots__ = ("data", "file_name", "min_side")
    DATA_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    MIN_SIDE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    file_name: str
    min_side: int
    def __init__(self, data: _Optional[bytes] = ..., file_name: _Optional[str] = ..., min_side: _Optional[int] = ...) -> None: ...

class ProbeImageResponse(_message.Message):
    __slots__ = ("usable", "format", "width", "height", "size", "hash", "orientation", "issues")
    USABLE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    ORIENTATION_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    usable: bool
    format: str
    width: int
    height: int
    size: int
    hash: str
    orientation: int
    issues: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.Issue]
    def __init__(self, usable: _Optional[bool] = ..., format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size: _Optional[int] = ..., hash: _Optional[str] = ..., orientation: _Optional[int] = ..., issues: _Optional[_Iterable[_Union[_annotation_pb2.Issue, _Mapping]]] = ...) -> None: ...

class RenderImageRequest(_message.Message):
    __slots__ = ("name", "size", "crop", "format", "without_annotations", "without_labels", "labels")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_LABELS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    crop: CropBox
    format: RenderFormat
    without_annotations: bool
    without_labels: bool
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., crop: _Optional[_Union[CropBox, _Mapping]] = ..., format: _Optional[_Union[RenderFormat, str]] = ..., without_annotations: _Optional[bool] = ..., without_labels: _Optional[bool] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class CropBox(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    width: int
    height: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class GetThumbnailRequest(_message.Message):
    __slots__ = ("name", "size")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

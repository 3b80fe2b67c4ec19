from framehouse.v1 import annotation_pb2 as _annotation_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MediaDepth(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEDIA_DEPTH_UNSPECIFIED: _ClassVar[MediaDepth]
    MEDIA_DEPTH_FULL: _ClassVar[MediaDepth]
    MEDIA_DEPTH_HEADER: _ClassVar[MediaDepth]
MEDIA_DEPTH_UNSPECIFIED: MediaDepth
MEDIA_DEPTH_FULL: MediaDepth
MEDIA_DEPTH_HEADER: MediaDepth

class ProcessShardRequest(_message.Message):
    __slots__ = ("plan_key", "shard", "depth", "min_side", "output_key", "derived_key")
    PLAN_KEY_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    MIN_SIDE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    DERIVED_KEY_FIELD_NUMBER: _ClassVar[int]
    plan_key: str
    shard: int
    depth: MediaDepth
    min_side: int
    output_key: str
    derived_key: str
    def __init__(self, plan_key: _Optional[str] = ..., shard: _Optional[int] = ..., depth: _Optional[_Union[MediaDepth, str]] = ..., min_side: _Optional[int] = ..., output_key: _Optional[str] = ..., derived_key: _Optional[str] = ...) -> None: ...

class ProcessShardResponse(_message.Message):
    __slots__ = ("image_count", "byte_count", "issues")
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    image_count: int
    byte_count: int
    issues: _annotation_pb2.StepIssues
    def __init__(self, image_count: _Optional[int] = ..., byte_count: _Optional[int] = ..., issues: _Optional[_Union[_annotation_pb2.StepIssues, _Mapping]] = ...) -> None: ...

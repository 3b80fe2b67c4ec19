from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AnnotationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANNOTATION_KIND_UNSPECIFIED: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_TAG: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_BOX: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_ROTATED_BOX: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_POLYGON: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_POLYLINE: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_POINTS: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_SKELETON: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_MASK: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_ELLIPSE: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_CUBOID: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_CUBOID_3D: _ClassVar[AnnotationKind]
    ANNOTATION_KIND_CAPTION: _ClassVar[AnnotationKind]

class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEVERITY_UNSPECIFIED: _ClassVar[Severity]
    SEVERITY_INFO: _ClassVar[Severity]
    SEVERITY_WARNING: _ClassVar[Severity]
    SEVERITY_ERROR: _ClassVar[Severity]
ANNOTATION_KIND_UNSPECIFIED: AnnotationKind
ANNOTATION_KIND_TAG: AnnotationKind
ANNOTATION_KIND_BOX: AnnotationKind
ANNOTATION_KIND_ROTATED_BOX: AnnotationKind
ANNOTATION_KIND_POLYGON: AnnotationKind
ANNOTATION_KIND_POLYLINE: AnnotationKind
ANNOTATION_KIND_POINTS: AnnotationKind
ANNOTATION_KIND_SKELETON: AnnotationKind
ANNOTATION_KIND_MASK: AnnotationKind
ANNOTATION_KIND_ELLIPSE: AnnotationKind
ANNOTATION_KIND_CUBOID: AnnotationKind
ANNOTATION_KIND_CUBOID_3D: AnnotationKind
ANNOTATION_KIND_CAPTION: AnnotationKind
SEVERITY_UNSPECIFIED: Severity
SEVERITY_INFO: Severity
SEVERITY_WARNING: Severity
SEVERITY_ERROR: Severity

class Label(_message.Message):
    __slots__ = ("name", "parent", "color", "attributes", "keypoints", "edges", "source_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    COLOR_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    KEYPOINTS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    parent: str
    color: str
    attributes: _containers.RepeatedScalarFieldContainer[str]
    keypoints: _containers.RepeatedScalarFieldContainer[str]
    edges: _containers.RepeatedCompositeFieldContainer[KeypointEdge]
    source_id: int
    def __init__(self, name: _Optional[str] = ..., parent: _Optional[str] = ..., color: _Optional[str] = ..., attributes: _Optional[_Iterable[str]] = ..., keypoints: _Optional[_Iterable[str]] = ..., edges: _Optional[_Iterable[_Union[KeypointEdge, _Mapping]]] = ..., source_id: _Optional[int] = ...) -> None: ...

class KeypointEdge(_message.Message):
    __slots__ = ("to",)
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    to: int
    def __init__(self, to: _Optional[int] = ..., **kwargs) -> None: ...

class LabelSchema(_message.Message):
    __slots__ = ("labels", "source")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    source: str
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., source: _Optional[str] = ...) -> None: ...

class Issue(_message.Message):
    __slots__ = ("code", "severity", "path", "line", "message", "remedy")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    code: str
    severity: Severity
    path: str
    line: int
    message: str
    remedy: str
    def __init__(self, code: _Optional[str] = ..., severity: _Optional[_Union[Severity, str]] = ..., path: _Optional[str] = ..., line: _Optional[int] = ..., message: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class IssueCount(_message.Message):
    __slots__ = ("code", "severity", "count")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    code: str
    severity: Severity
    count: int
    def __init__(self, code: _Optional[str] = ..., severity: _Optional[_Union[Severity, str]] = ..., count: _Optional[int] = ...) -> None: ...

class StepIssues(_message.Message):
    __slots__ = ("count", "error_count", "first_error")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ERROR_COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_ERROR_FIELD_NUMBER: _ClassVar[int]
    count: int
    error_count: int
    first_error: Issue
    def __init__(self, count: _Optional[int] = ..., error_count: _Optional[int] = ..., first_error: _Optional[_Union[Issue, _Mapping]] = ...) -> None: ...

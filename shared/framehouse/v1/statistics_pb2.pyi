from framehouse.v1 import dataset_pb2 as _dataset_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatisticsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class MeasureTableRequest(_message.Message):
    __slots__ = ("table",)
    TABLE_FIELD_NUMBER: _ClassVar[int]
    table: _dataset_pb2.Table
    def __init__(self, table: _Optional[_Union[_dataset_pb2.Table, _Mapping]] = ...) -> None: ...

class Statistics(_message.Message):
    __slots__ = ("dataset", "table_version", "image_count", "annotated_image_count", "annotation_count", "splits", "classes", "kinds", "objects_per_image", "image_width", "image_height", "image_bytes", "box_width", "box_height", "box_relative_area", "image_formats")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    TABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATED_IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_PER_IMAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    IMAGE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BOX_WIDTH_FIELD_NUMBER: _ClassVar[int]
    BOX_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    BOX_RELATIVE_AREA_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FORMATS_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    table_version: int
    image_count: int
    annotated_image_count: int
    annotation_count: int
    splits: _containers.RepeatedCompositeFieldContainer[_dataset_pb2.SplitCount]
    classes: _containers.RepeatedCompositeFieldContainer[ClassStatistics]
    kinds: _containers.RepeatedCompositeFieldContainer[KindCount]
    objects_per_image: Distribution
    image_width: Distribution
    image_height: Distribution
    image_bytes: Distribution
    box_width: Distribution
    box_height: Distribution
    box_relative_area: Distribution
    image_formats: _containers.RepeatedCompositeFieldContainer[FormatCount]
    def __init__(self, dataset: _Optional[str] = ..., table_version: _Optional[int] = ..., image_count: _Optional[int] = ..., annotated_image_count: _Optional[int] = ..., annotation_count: _Optional[int] = ..., splits: _Optional[_Iterable[_Union[_dataset_pb2.SplitCount, _Mapping]]] = ..., classes: _Optional[_Iterable[_Union[ClassStatistics, _Mapping]]] = ..., kinds: _Optional[_Iterable[_Union[KindCount, _Mapping]]] = ..., objects_per_image: _Optional[_Union[Distribution, _Mapping]] = ..., image_width: _Optional[_Union[Distribution, _Mapping]] = ..., image_height: _Optional[_Union[Distribution, _Mapping]] = ..., image_bytes: _Optional[_Union[Distribution, _Mapping]] = ..., box_width: _Optional[_Union[Distribution, _Mapping]] = ..., box_height: _Optional[_Union[Distribution, _Mapping]] = ..., box_relative_area: _Optional[_Union[Distribution, _Mapping]] = ..., image_formats: _Optional[_Iterable[_Union[FormatCount, _Mapping]]] = ...) -> None: ...

class ClassStatistics(_message.Message):
    __slots__ = ("label", "annotation_count", "image_count")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    label: str
    annotation_count: int
    image_count: int
    def __init__(self, label: _Optional[str] = ..., annotation_count: _Optional[int] = ..., image_count: _Optional[int] = ...) -> None: ...

class KindCount(_message.Message):
    __slots__ = ("kind", "annotation_count")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ANNOTATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    annotation_count: int
    def __init__(self, kind: _Optional[str] = ..., annotation_count: _Optional[int] = ...) -> None: ...

class FormatCount(_message.Message):
    __slots__ = ("format", "image_count")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    format: str
    image_count: int
    def __init__(self, format: _Optional[str] = ..., image_count: _Optional[int] = ...) -> None: ...

class Distribution(_message.Message):
    __slots__ = ("count", "min", "max", "mean", "median", "histogram")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_FIELD_NUMBER: _ClassVar[int]
    HISTOGRAM_FIELD_NUMBER: _ClassVar[int]
    count: int
    min: float
    max: float
    mean: float
    median: float
    histogram: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, count: _Optional[int] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., mean: _Optional[float] = ..., median: _Optional[float] = ..., histogram: _Optional[_Iterable[int]] = ...) -> None: ...

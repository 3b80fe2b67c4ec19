"""The step that says which rows of a table a filter selects, for what is written of them."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framehouse.runtime.errors import FailedPrecondition, InvalidArgument
from framehouse.store.bucket import bucket
from framehouse.store.frames import write_batches
from framehouse.v1 import dataset_pb2
from services.ingest.catalogue import Catalogue
from services.ingest.filters import select

SCHEMA = pa.schema([pa.field("row", pa.int64(), nullable=False)])


def select_images(catalogue: Catalogue, request: dataset_pb2.SelectImagesRequest) -> dataset_pb2.SelectImagesResponse:
    """Writes the numbers of the rows, ascending. `FailedPrecondition` with NOTHING_SELECTED where there are none."""
    try:
        rows = np.flatnonzero(select(request.table.key, request.table.version, request.filter, catalogue))
    except InvalidArgument as error:
        raise error.within("write") from None
    if not len(rows):
        raise FailedPrecondition(
            f"the filter {request.filter!r} selects no image; ListImages shows what a filter selects",
            reason="NOTHING_SELECTED",
        )
    if request.output_key:
        _write(rows, request.output_key)
    return dataset_pb2.SelectImagesResponse(image_count=len(rows))


def _write(rows: NDArray[np.int64], key: str) -> None:
    write_batches(bucket(), key, SCHEMA, [pa.record_batch([pa.array(rows, pa.int64())], schema=SCHEMA)])

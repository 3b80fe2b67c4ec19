"""Attributes of images, out of the JSON that they are kept as: of each different text only once."""

import lance
import msgspec
import numpy as np
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from framehouse.runtime.errors import InvalidArgument
from framehouse.store.tables import batches

ROWS = 65536
"""Rows that are read at once."""
NAMED = 10
"""Attributes that are named where the one asked for is not there."""
NOTHING = {b"null", b'""'}
"""Values that say no more than that the attribute is not there."""

_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


def attribute_values(table: lance.LanceDataset, name: str) -> NDArray[np.uint64]:
    """A number for the value that the attribute has in each image, as the JSON has it written; 0 where it has none.

    `InvalidArgument` where no image has it.
    """
    numbers = [np.zeros(0, np.uint64)]
    others: set[str] = set()
    for batch in batches(table, ["image_attributes"], ROWS, ahead=4):
        texts = pc.fill_null(batch["image_attributes"], "{}").dictionary_encode()
        values = []
        for text in texts.dictionary.to_pylist():
            found = _DECODER.decode(text)
            value = bytes(found.get(name, b"null"))
            values.append(0 if value in NOTHING else xxhash.xxh3_64_intdigest(value) or 1)
            if len(others) < NAMED:
                others.update(found)
        numbers.append(np.array(values, np.uint64)[texts.indices.to_numpy()])
    values_of = np.concatenate(numbers)
    if not values_of.any():
        there = ", ".join(sorted(others)[:NAMED])
        raise InvalidArgument(
            f"no image has an attribute {name!r}; " + (f"there are {there}" if there else "there are none at all"),
            field="group_attribute",
        )
    return values_of

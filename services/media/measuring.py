"""One shard of a job that asks how large images are and no more: their headers, in columns.

A conversion without images looks at as many in a second as one with images does in minutes. Plain files are told all at
once by `services.media.headers`, others one by one by `services.media.decode`.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framehouse.annotations.plan import MEDIA_SCHEMA
from framehouse.annotations.schema import RANGE
from framehouse.runtime import jobs
from framehouse.runtime.config import settings
from framehouse.store.bucket import Bucket
from framehouse.store.issues import ERROR, INFO, IssueLog
from framehouse.store.packs import Piece, content_hash, read_pieces
from services.media import findings, headers
from services.media.decode import is_expected, look
from services.media.findings import Remark, Unusable

FACTS = np.dtype(
    [
        ("usable", "?"),
        ("format", "i1"),
        ("width", "i4"),
        ("height", "i4"),
        ("bytes", "i8"),
        ("orientation", "i1"),
        ("offset", "i8"),
        ("crc32", "u4"),
    ]
)
"""What is found out of an image; `orientation` is 0 for none, `format` a position in a list."""


def measure_shard(bucket: Bucket, plan: pa.RecordBatch, min_side: int, log: IssueLog) -> tuple[pa.RecordBatch, int]:
    """What there is to say of the images of a batch of the read plan (MEDIA_SCHEMA), and the number of bytes read.

    An image whose shortest side is under `min_side` pixels is not usable.
    """
    shard = _Shard(plan, min_side, log)
    wanted = shard.wanted()
    done = 0
    for piece in read_pieces(bucket, plan.take(pa.array(wanted))):
        shard.take(piece._replace(rows=wanted[piece.rows]))
        done += len(piece.rows)
        jobs.report(done)
    return shard.batch(), shard.byte_count


class _Shard:
    """The rows of a shard while they are found out."""

    def __init__(self, plan: pa.RecordBatch, min_side: int, log: IssueLog) -> None:
        self._plan = plan
        self._min_side = min_side
        self._log = log
        self._paths = pc.coalesce(plan["entry_path"], plan["path"])
        endings = pc.replace_substring_regex(self._paths, r"(?s)^.*\.", "").dictionary_encode()
        self._endings: list[str] = endings.dictionary.to_pylist()
        self._ending: NDArray[np.int32] = np.asarray(endings.indices)
        self._formats = list(headers.FORMATS)
        self._there = np.asarray(plan["object"].is_valid())
        self._facts = np.zeros(plan.num_rows, FACTS)
        self._hashes = np.full(plan.num_rows, None, object)
        self.byte_count = 0

    def wanted(self) -> NDArray[np.int64]:
        """The rows whose bytes are to be read; of the others all is said then."""
        sized = np.asarray(pc.and_(self._plan["width"].is_valid(), self._plan["height"].is_valid()))
        size = np.asarray(self._plan["size"].fill_null(0))
        self._facts["usable"] = ~self._there & sized
        fits = self._there & (size <= settings().max_image_bytes)
        for row in np.flatnonzero(~fits & ~self._facts["usable"]).tolist():
            self._refuse(row, findings.too_large(int(size[row])) if self._there[row] else findings.missing())
        return np.flatnonzero(fits)

    def take(self, piece: Piece) -> None:
        """Finds out what the images of a piece are."""
        self.byte_count += sum(map(len, piece.data))
        found = headers.plain(piece.data)
        facts = np.zeros(len(piece.data), FACTS)
        for name in found._fields:
            facts[name] = getattr(found, name)
        facts["bytes"] = np.fromiter(map(len, piece.data), np.int64, len(piece.data))
        facts["offset"], facts["crc32"] = piece.data_offset, piece.crc32
        refused = {k: findings.damaged_entry(text) for k, text in piece.damage.items()}
        remarks: dict[int, tuple[Remark, ...]] = {}
        pixels = found.width.astype(float) * found.height
        small = np.minimum(found.width, found.height) < self._min_side
        closer = (found.format < 0) | small | (pixels > settings().max_image_pixels)
        for k in np.flatnonzero(closer).tolist():
            if k in refused:
                continue
            try:
                picture = look(piece.data[k], min_side=self._min_side, preview=False)
            except Unusable as refusal:
                refused[k] = refusal
                continue
            if picture.format not in self._formats:
                self._formats.append(picture.format)
            facts[k]["format"] = self._formats.index(picture.format)
            facts[k]["width"], facts[k]["height"] = picture.width, picture.height
            facts[k]["orientation"] = picture.orientation or 0
            remarks[k] = picture.remarks
        facts["usable"] = True
        facts["usable"][list(refused)] = False
        for k in self._named_otherwise(facts, piece.rows).tolist():
            remarks[k] = (findings.extension_differs(self._formats[facts[k]["format"]]), *remarks.get(k, ()))
        for k in sorted(refused.keys() | remarks.keys()):
            if k in refused:
                self._refuse(int(piece.rows[k]), refused[k])
            else:
                self._remark(int(piece.rows[k]), remarks[k])
        self._facts[piece.rows] = facts
        self._hashes[piece.rows] = list(map(content_hash, piece.data))

    def batch(self) -> pa.RecordBatch:
        """The rows, of which all has been found out."""
        facts = self._facts
        missing = ~facts["usable"] | ~self._there
        columns = {
            "usable": pa.array(facts["usable"]),
            "hash": pa.array(self._hashes, pa.string(), mask=missing),
            "format": pa.array(self._formats).take(pa.array(facts["format"], mask=missing)),
            "orientation": pa.array(facts["orientation"], mask=missing | (facts["orientation"] == 0)),
            **{name: pa.array(facts[name], mask=missing) for name in ("width", "height", "bytes")},
        }
        places = {"offset": pa.array(facts["offset"]), "crc32": pa.array(facts["crc32"])}
        original = [places[field.name] if field.name in places else self._plan[field.name] for field in RANGE]
        columns["original"] = pa.StructArray.from_arrays(original, fields=list(RANGE), mask=pa.array(missing))
        return pa.record_batch(
            [columns.get(field.name, pa.nulls(len(facts), field.type)) for field in MEDIA_SCHEMA], schema=MEDIA_SCHEMA
        )

    def _named_otherwise(self, facts: NDArray[np.void], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which usable images of some have a name that promises another format."""
        pairs = self._ending[rows].astype(np.int64) * len(self._formats) + facts["format"]
        there = np.unique(pairs[facts["usable"]])
        odd = [
            pair
            for pair in there.tolist()
            if not is_expected(
                "." + self._endings[pair // len(self._formats)], self._formats[pair % len(self._formats)]
            )
        ]
        return np.flatnonzero(facts["usable"] & np.isin(pairs, odd))

    def _refuse(self, row: int, refusal: Unusable) -> None:
        self._log.add(refusal.code, ERROR, self._paths[row].as_py(), refusal.message, refusal.remedy)

    def _remark(self, row: int, remarks: tuple[Remark, ...]) -> None:
        for one in remarks:
            self._log.add(one.code, INFO, self._paths[row].as_py(), one.message, one.remedy)

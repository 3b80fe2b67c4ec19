"""One image of a client's: looked at as an import would, and not kept."""

from framehouse.runtime.config import settings
from framehouse.runtime.errors import InvalidArgument
from framehouse.store.packs import content_hash
from framehouse.v1 import annotation_pb2, media_pb2
from services.media.decode import is_expected, look
from services.media.findings import Remark, Unusable, extension_differs, too_large

DEFAULT_MIN_SIDE = 28
MAX_BYTES = 16 << 20


def probe(request: media_pb2.ProbeImageRequest) -> media_pb2.ProbeImageResponse:
    """What `MediaService.ProbeImage` promises."""
    data, path = request.data, request.file_name
    if len(data) > MAX_BYTES:
        raise InvalidArgument(
            f"the image has {len(data):,} bytes; {MAX_BYTES:,} can be looked at, more can be imported", field="data"
        )
    answer = media_pb2.ProbeImageResponse(size=len(data), hash=content_hash(data))

    def add(one: Remark | Unusable, severity: annotation_pb2.Severity) -> None:
        answer.issues.add(code=one.code, severity=severity, path=path, message=one.message, remedy=one.remedy)

    min_side = request.min_side if request.HasField("min_side") else DEFAULT_MIN_SIDE
    try:
        if len(data) > settings().max_image_bytes:
            raise too_large(len(data))
        picture = look(data, min_side=min_side, preview=True)
    except Unusable as refusal:
        add(refusal, annotation_pb2.SEVERITY_ERROR)
        return answer
    answer.usable = True
    answer.format = picture.format
    answer.width, answer.height = picture.width, picture.height
    answer.orientation = picture.orientation or 0
    differs = () if is_expected(path, picture.format) else (extension_differs(picture.format),)
    for remark in (*differs, *picture.remarks):
        add(remark, annotation_pb2.SEVERITY_INFO)
    return answer

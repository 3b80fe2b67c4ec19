"""How much a user keeps in the suite, and whether the caller may keep more."""

from sqlalchemy import func, or_, select

from framehouse.runtime import access
from framehouse.runtime.errors import ResourceExhausted
from services.ingest.catalogue import Catalogue, DatasetRow, UploadRow, now

RETRY_SECONDS = 3600.0
"""What is removed makes room at once, but nobody removes something by waiting."""


def stored_bytes(catalogue: Catalogue, user: str) -> int:
    """Bytes of a user's uploads, open ones too, and of the images of its datasets, those in the trash too."""
    uploads = select(func.coalesce(func.sum(UploadRow.size), 0)).where(
        UploadRow.owner == user, or_(UploadRow.complete, UploadRow.expire_time > now())
    )
    images = select(func.coalesce(func.sum(DatasetRow.image_bytes), 0)).filter_by(user=user)
    with catalogue.session() as session:
        return int(session.scalar(uploads) or 0) + int(session.scalar(images) or 0)


def check_room(catalogue: Catalogue, size: int) -> None:
    """`ResourceExhausted` where the caller would have more than it may with so many bytes more."""
    caller = access.CALLER.get()
    if caller is None or not caller.stored_bytes:
        return
    stored = stored_bytes(catalogue, caller.user)
    if stored + size > caller.stored_bytes:
        raise ResourceExhausted(
            f"users/{caller.user} has {stored:,} bytes stored and may have {caller.stored_bytes:,}; "
            "delete and purge datasets, or ask for a higher limit",
            reason="TOO_MANY_BYTES",
            retry_seconds=RETRY_SECONDS,
            facts={"limit": str(caller.stored_bytes), "stored": str(stored)},
        )

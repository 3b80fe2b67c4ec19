"""What a dataset says of itself: made without images, described anew, and liked."""

import uuid
from collections.abc import Callable, Mapping

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from framehouse.runtime.access import CALLER, check_read, check_user, check_write
from framehouse.runtime.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from framehouse.store.bucket import bucket
from framehouse.v1 import annotation_pb2, dataset_pb2
from services.ingest.catalogue import Catalogue, DatasetRow, StarRow, now, upsert
from services.ingest.datasets import find, message, refuse_taken
from services.ingest.heads import Head
from services.ingest.licences import licence
from services.ingest.names import check_slug, user_of

TITLE_LETTERS = 255
DESCRIPTION_LETTERS = 10_000
FREE = "choose another name"

Values = dict[str, object]


def create(catalogue: Catalogue, request: dataset_pb2.CreateDatasetRequest) -> dataset_pb2.Dataset:
    """What `DatasetService.CreateDataset` promises."""
    from framehouse.annotations.class_changes import apply
    from framehouse.annotations.labels import with_labels
    from framehouse.annotations.schema import DATASET_SCHEMA
    from framehouse.store.tables import commit

    user = user_of(request.parent)
    check_slug(request.dataset_id, "dataset_id")
    check_user(user)
    name = f"{request.parent}/datasets/{request.dataset_id}"
    said: Values = {}
    for field in FIELDS:
        said |= _value(field, request.dataset, request.dataset_id)
    adds = [dataset_pb2.ClassChange(add=label) for label in request.dataset.labels.labels]
    labels = apply(annotation_pb2.LabelSchema(), adds, "dataset.labels.labels").labels
    refuse_taken(catalogue, name)
    uid = uuid.uuid4().hex
    key = f"tables/{uid}.lance"
    version = commit(key, with_labels(DATASET_SCHEMA, labels), [], {"framehouse.job": uid})
    time = now()
    row = DatasetRow(
        uid=uid,
        user=user,
        slug=request.dataset_id,
        table_key=key,
        source_format="",
        create_time=time,
        update_time=time,
        revision=1,
        **Head(key, version, 0, 0, 0, labels, {}, set()).values([]),
        **said,
    )
    return enter(catalogue, row)


def enter(
    catalogue: Catalogue, row: DatasetRow, bind: Callable[[Session], None] = lambda session: None
) -> dataset_pb2.Dataset:
    """Makes a new dataset visible, with what `bind` does in the same transaction; else its table goes again."""
    name = f"users/{row.user}/datasets/{row.slug}"
    try:
        with catalogue.session() as session:
            session.add(row)
            session.flush()
            bind(session)
            session.refresh(row)
    except IntegrityError:
        bucket().remove_prefix(f"{row.table_key}/")
        raise AlreadyExists("dataset", name, FREE) from None
    except BaseException:
        bucket().remove_prefix(f"{row.table_key}/")
        raise
    return message(row)


def change(catalogue: Catalogue, request: dataset_pb2.UpdateDatasetRequest) -> dataset_pb2.Dataset:
    """What `DatasetService.UpdateDataset` promises."""
    wanted = request.dataset
    row = find(catalogue, wanted.name, "dataset.name")
    check_write(row.user, "dataset", wanted.name, public=row.public)
    if not request.update_mask.paths:
        raise InvalidArgument(f"it names no field; name some of: {', '.join(FIELDS)}", field="update_mask")
    values: Values = {}
    for path in request.update_mask.paths:
        if path not in FIELDS:
            raise InvalidArgument(
                f"{path!r} cannot be changed here; what can be: {', '.join(FIELDS)}", field="update_mask"
            )
        values |= _value(path, wanted, row.slug)
    if row.license_locked and values.get("license", row.license) != row.license:
        raise FailedPrecondition(
            f"{wanted.name} was cloned from {row.cloned_from} under {row.license}, which binds the clone too; its "
            "licence cannot be changed",
            reason="LICENSE_LOCKED",
        )
    if wanted.etag and wanted.etag != message(row).etag:
        raise _stale(wanted.name)
    same = update(DatasetRow).filter_by(uid=row.uid, delete_time=None)
    if wanted.etag:
        same = same.filter_by(revision=row.revision)
    with catalogue.session() as session:
        changed = same.values(**values, revision=DatasetRow.revision + 1).returning(DatasetRow.uid)
        if session.scalar(changed) is None and wanted.etag:
            raise _stale(wanted.name)
    return message(find(catalogue, wanted.name, "dataset.name"))


def star(catalogue: Catalogue, request: dataset_pb2.StarDatasetRequest) -> dataset_pb2.Dataset:
    """What `DatasetService.StarDataset` promises."""
    row = find(catalogue, request.name)
    check_read(row.user, "dataset", request.name, public=row.public)
    caller = CALLER.get()
    mark = {"dataset": row.uid, "user": caller.user if caller else "local"}
    with catalogue.session() as session:
        # First, so that of two calls at once the second sees what the first one did.
        there = session.scalar(
            update(DatasetRow)
            .filter_by(uid=row.uid, delete_time=None)
            .values(star_count=DatasetRow.star_count)
            .returning(DatasetRow.uid)
        )
        if there is None:
            raise NotFound("dataset", request.name)
        if request.remove:
            changed = session.scalar(delete(StarRow).filter_by(**mark).returning(StarRow.user))
        else:
            insert = upsert(session, StarRow).values(**mark).on_conflict_do_nothing()
            changed = session.scalar(insert.returning(StarRow.user))
        if changed is not None:
            count = DatasetRow.star_count + (-1 if request.remove else 1)
            session.execute(update(DatasetRow).filter_by(uid=row.uid).values(star_count=count))
    return message(find(catalogue, request.name))


def _stale(name: str) -> Aborted:
    return Aborted(f"{name} has changed; read it again", reason="ETAG_STALE")


def _value(field: str, dataset: dataset_pb2.Dataset, slug: str) -> Values:
    """The column that a field of a request is, checked."""
    return FIELDS[field](dataset, slug)


def _display_name(dataset: dataset_pb2.Dataset, slug: str) -> Values:
    text = dataset.display_name.strip()
    if len(text) > TITLE_LETTERS or not text.isprintable():
        raise InvalidArgument(
            f"a display_name has {TITLE_LETTERS} letters at most, in one line", field="dataset.display_name"
        )
    return {"display_name": text or slug}


def _description(dataset: dataset_pb2.Dataset, slug: str) -> Values:
    if len(dataset.description) > DESCRIPTION_LETTERS or "\0" in dataset.description:
        raise InvalidArgument(
            f"a description has {DESCRIPTION_LETTERS:,} letters at most, none of them with the number 0; this one has "
            f"{len(dataset.description):,}",
            field="dataset.description",
        )
    return {"description": dataset.description}


def _license(dataset: dataset_pb2.Dataset, slug: str) -> Values:
    return {"license": licence(dataset.license, "dataset.license")}


def _visibility(dataset: dataset_pb2.Dataset, slug: str) -> Values:
    if dataset.visibility not in dataset_pb2.Visibility.values():
        raise InvalidArgument(f"{dataset.visibility} is no visibility", field="dataset.visibility")
    return {"public": dataset.visibility == dataset_pb2.VISIBILITY_PUBLIC}


def _task(dataset: dataset_pb2.Dataset, slug: str) -> Values:
    if dataset.task not in dataset_pb2.Task.values():
        raise InvalidArgument(f"{dataset.task} is no task", field="dataset.task")
    return {"task": dataset.task}


FIELDS: Mapping[str, Callable[[dataset_pb2.Dataset, str], Values]] = {
    "display_name": _display_name,
    "description": _description,
    "license": _license,
    "visibility": _visibility,
    "task": _task,
}
"""What a dataset says of itself."""

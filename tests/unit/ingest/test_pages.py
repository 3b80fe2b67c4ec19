"""How many images a page has."""

from framehouse.v1 import dataset_pb2
from services.ingest.listing import PAGE_BYTES, fitting


def image(size: int) -> dataset_pb2.Image:
    return dataset_pb2.Image(annotations=[dataset_pb2.Annotation(rle=bytes(size))])


def test_a_page_ends_where_its_images_would_be_too_large_for_a_message() -> None:
    third = PAGE_BYTES // 3
    assert len(list(fitting(image(third) for _ in range(10)))) == 2
    assert len(list(fitting(image(10) for _ in range(1000)))) == 1000


def test_a_page_has_one_image_however_large_it_is() -> None:
    assert len(list(fitting([image(2 * PAGE_BYTES), image(1)]))) == 1
    assert list(fitting([])) == []

"""Names of datasets as people type them."""

import pytest

from framehouse.client.errors import InvalidArgument
from framehouse.client.names import dataset_name, short_name


def test_a_short_name_is_one_of_the_local_user() -> None:
    assert dataset_name("cars-2024") == "users/local/datasets/cars-2024"
    assert short_name("users/local/datasets/cars-2024") == "cars-2024"


def test_a_full_name_is_kept() -> None:
    assert dataset_name("users/ann/datasets/cars") == "users/ann/datasets/cars"
    assert short_name("users/ann/datasets/cars") == "users/ann/datasets/cars"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("Cars", "cars"), ("my cars", "my-cars"), ("Café 7/b", "cafe-7-b"), ("-x-", "x"), ("a" * 70, "a" * 63)],
)
def test_another_name_is_refused_with_one_that_would_do(name: str, suggestion: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        dataset_name(name)
    assert refused.value.remedy == f"try {suggestion}"
    assert dataset_name(suggestion)


def test_a_name_of_which_nothing_is_left_is_refused_all_the_same() -> None:
    with pytest.raises(InvalidArgument, match="cannot be the name"):
        dataset_name("汽车")

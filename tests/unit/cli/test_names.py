"""Names of datasets as people type them."""

import pytest

from framehouse.client.errors import InvalidArgument
from framehouse.client.names import dataset_name, own_user, short_name, versioned_name


def test_a_short_name_is_one_of_the_local_user() -> None:
    assert dataset_name("cars-2024") == "users/local/datasets/cars-2024"
    assert short_name("users/local/datasets/cars-2024") == "cars-2024"


def test_a_short_name_is_one_of_the_keys_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEHOUSE_API_KEY", "fh_pBY-wasy_hb.ann-b")
    assert dataset_name("cars") == "users/ann-b/datasets/cars"
    assert short_name("users/ann-b/datasets/cars") == "cars"
    assert own_user("fh_another.ben") == "users/ben"
    assert own_user("fh_anadministrators") == own_user("") == "users/local"
    monkeypatch.setenv("FRAMEHOUSE_USER", "cat")
    assert dataset_name("cars") == "users/cat/datasets/cars"


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


@pytest.mark.parametrize(
    ("name", "full", "version"),
    [
        ("cars", "users/local/datasets/cars", 0),
        ("cars@2", "users/local/datasets/cars", 2),
        ("ann/cars", "users/ann/datasets/cars", 0),
        ("users/ann/datasets/cars@12", "users/ann/datasets/cars", 12),
        ("fh://ann/datasets/cars@3", "users/ann/datasets/cars", 3),
    ],
)
def test_a_version_is_part_of_a_name_where_versions_are_taken(name: str, full: str, version: int) -> None:
    assert versioned_name(name) == (full, version)
    if version:
        with pytest.raises(InvalidArgument, match="names a version"):
            dataset_name(name)
    else:
        assert dataset_name(name) == full


@pytest.mark.parametrize("name", ["cars@", "cars@0", "cars@x", "fh://ann/cars@1", "fh://ann/cars"])
def test_what_names_no_version_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        versioned_name(name)

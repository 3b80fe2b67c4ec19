"""Dealing images out to splits: shares, groups, seeds, classes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dealing import Presence, by_group, deal, grouped, mixed, numbered, presence


def ids(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.random.default_rng(seed).integers(0, 1 << 64, (count, 2), np.uint64, endpoint=False)


def ones(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.ones(count, np.int64)


@given(
    count=st.integers(0, 3000),
    parts=st.lists(st.floats(0.01, 1), min_size=1, max_size=6),
    seed=st.integers(-(1 << 63), (1 << 63) - 1),
)
def test_shares_are_kept_to_less_than_one_image(count: int, parts: list[float], seed: int) -> None:
    shares = np.array(parts) / sum(parts)
    splits = deal(mixed(ids(count), seed), ones(count), shares.tolist())
    assert len(splits) == count
    assert np.all(np.abs(np.bincount(splits, minlength=len(parts)) - shares * count) <= 1 + 1e-6)


@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=200), share=st.floats(0.05, 0.95))
def test_shares_are_kept_to_less_than_the_largest_group(sizes: list[int], share: float) -> None:
    group_sizes = np.array(sizes)
    splits = deal(mixed(ids(len(sizes)), 1), group_sizes, [share, 1 - share])
    assert abs(group_sizes[splits == 0].sum() - share * group_sizes.sum()) <= group_sizes.max()


def test_small_groups_mend_what_large_ones_leave() -> None:
    sizes = np.array([400, 90, 37, 12, 5, *[1] * 100])
    for seed in range(20):
        splits = deal(mixed(ids(len(sizes)), seed), sizes, [0.8, 0.2])
        assert abs(sizes[splits == 0].sum() - 0.8 * sizes.sum()) <= 1


def test_a_seed_deals_the_same_in_any_order_of_the_rows() -> None:
    images = ids(5000)
    first = deal(mixed(images, 7), ones(5000), [0.7, 0.3])
    order = np.random.default_rng(1).permutation(5000)
    assert np.array_equal(deal(mixed(images[order], 7), ones(5000), [0.7, 0.3]), first[order])
    others = [deal(mixed(images, seed), ones(5000), [0.7, 0.3]) for seed in (8, -7, 0)]
    # As many differ as do by chance.
    assert all(0.36 < np.mean(other != first) < 0.48 for other in others)


def test_what_has_one_of_two_things_in_common_is_one_group() -> None:
    folder = np.array([1, 1, 2, 3, 3, 4, 9], np.uint64)
    content = np.array([10, 11, 11, 12, 13, 13, 14], np.uint64)
    groups = grouped(folder, content)
    assert groups.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert grouped(folder[:0], content[:0]).tolist() == []
    chain = np.arange(5000, dtype=np.uint64)
    assert not grouped(chain // np.uint64(2), (chain + np.uint64(1)) // np.uint64(2)).any()
    assert numbered(content).tolist() == [0, 1, 1, 2, 3, 3, 4]


@pytest.mark.parametrize("classes", [5, 1 << 20], ids=["few", "many"])
def test_a_class_counts_once_for_an_image(classes: int) -> None:
    offsets = np.array([0, 3, 3, 5, 6])
    images, found = presence(offsets, np.array([4, 1, 4, -1, 2, -1]), classes)
    assert list(zip(images.tolist(), found.tolist(), strict=True)) == [(0, 1), (0, 4), (2, 2)]
    one = by_group(np.array([0, 1, 0, 0]), images, found, classes)
    assert [part.tolist() for part in one] == [[0, 0, 0], [1, 2, 4], [1, 1, 1]]
    assert presence(np.array([0]), np.zeros(0, np.int64), 0)[0].tolist() == []


def stratified(
    counts: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], classes: int, shares: list[float]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images of each class and split, and of each split."""
    images, found = presence(np.concatenate(([0], np.cumsum(counts))), labels, classes)
    which = Presence(images, found, np.ones(len(images), np.int32))
    splits = deal(mixed(ids(len(counts)), 3), ones(len(counts)), shares, which)
    table = np.zeros((classes, len(shares)))
    np.add.at(table, (found, splits[images]), 1)
    return table, np.bincount(splits, minlength=len(shares))


def test_every_class_gets_its_shares() -> None:
    rng = np.random.default_rng(5)
    counts = rng.poisson(4, 20_000)
    labels = np.minimum(rng.geometric(0.08, counts.sum()) - 1, 59)
    shares = [0.7, 0.2, 0.1]
    table, totals = stratified(counts, labels, 60, shares)
    wanted = table.sum(axis=1, keepdims=True) * shares
    assert np.all(np.abs(table - wanted) <= np.maximum(2.5, 0.01 * table.sum(axis=1, keepdims=True)))
    assert np.all(np.abs(totals - np.array(shares) * len(counts)) <= 0.001 * len(counts))


def test_rare_classes_do_not_all_fall_into_the_largest_split() -> None:
    table, totals = stratified(np.ones(500, np.int64), np.arange(500), 500, [0.8, 0.2])
    assert totals.tolist() == [400, 100]
    assert table.sum(axis=0).tolist() == [400, 100]


def test_groups_are_stratified_whole() -> None:
    rng = np.random.default_rng(2)
    group = np.sort(rng.integers(0, 600, 6000))
    group = np.unique(group, return_inverse=True)[1]
    label = rng.integers(0, 8, 6000)
    images, found = presence(np.arange(6001), label, 8)
    sizes = np.bincount(group)
    splits = deal(mixed(ids(len(sizes)), 3), sizes, [0.75, 0.25], by_group(group, images, found, 8))
    table = np.zeros((8, 2))
    np.add.at(table, (label, splits[group]), 1)
    assert np.all(np.abs(table[:, 0] / table.sum(axis=1) - 0.75) < 0.03)
    assert abs(sizes[splits == 0].sum() / 6000 - 0.75) < 0.01

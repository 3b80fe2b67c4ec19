"""Groups of look-alikes, against every pair compared."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import looks
from services.ingest.looks import Part, alike, linked, parted

Hashes = np.ndarray[Any, np.dtype[np.uint64]]


def compared(hashes: Hashes, distance: int) -> list[int]:
    """The first of the group of each, pair by pair."""
    near = np.bitwise_count(hashes[:, None] ^ hashes) <= distance
    near &= (hashes != 0)[:, None] & (hashes != 0)
    firsts = np.arange(len(hashes))
    while True:
        lower = np.minimum(firsts, np.where(near, firsts, len(hashes)).min(axis=1, initial=len(hashes)))
        if (lower == firsts).all():
            return firsts.tolist()
        firsts = lower


def firsts_of(groups: np.ndarray[Any, np.dtype[np.int64]]) -> list[int]:
    first: dict[int, int] = {}
    return [first.setdefault(group, place) for place, group in enumerate(groups.tolist())]


def scattered(centres: list[int], flips: int, count: int, seed: int) -> Hashes:
    """Hashes around some, a few bits off."""
    rng = np.random.default_rng(seed)
    hashes = rng.choice(np.array(centres, np.uint64), count)
    for _ in range(flips):
        hashes ^= np.left_shift(np.uint64(1), rng.integers(0, 64, count).astype(np.uint64))
    return hashes


@given(
    centres=st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=12),
    flips=st.integers(0, 9),
    count=st.integers(0, 80),
    distance=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
def test_all_that_is_near_is_found_and_nothing_else(
    centres: list[int], flips: int, count: int, distance: int, seed: int
) -> None:
    hashes = scattered(centres, flips, count, seed)
    assert firsts_of(alike(hashes, distance)) == compared(hashes, distance)


@pytest.mark.parametrize("distance", [1, 2, 4, 5, 8])
@pytest.mark.parametrize("number", [4, 7])
def test_any_parts_find_the_same(distance: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "LARGE", 50)
    monkeypatch.setattr(looks, "BLOCK", 400)
    hashes = np.unique(scattered(list(range(1, 1 << 62, 1 << 57)), 6, 600, 3))
    radii = [(distance + 1 + place) // number - 1 for place in range(number)]
    parts = [Part(range(place, 64, number), radius) for place, radius in enumerate(radii) if radius >= 0]
    assert linked(hashes, distance, parts).tolist() == compared(hashes, distance)


@pytest.mark.parametrize(("distance", "radii"), [(8, (2, 2, 2)), (7, (2, 2, 1)), (5, (1, 1, 1)), (2, (1, 0))])
@pytest.mark.parametrize("width", [18, 19])
def test_tables_find_the_same(
    distance: int, radii: tuple[int, ...], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "BUCKET_SECONDS", 1.0)  # so that it is always worth while to make one
    rng = np.random.default_rng(5)
    centres = rng.integers(1, 1 << 62, 60).tolist()
    hashes = rng.permutation(np.unique(scattered(centres, distance // 2 + 1, 400, 3)))
    assert 20 < len(set(compared(hashes, distance))) < len(hashes) - 20
    parts = [Part(range(place, len(radii) * width, len(radii)), radius) for place, radius in enumerate(radii)]
    assert linked(hashes, distance, parts).tolist() == compared(hashes, distance)


@pytest.mark.parametrize("count", [10, 10_000, 1_000_000])
@pytest.mark.parametrize("distance", range(1, 9))
def test_parts_are_small_enough_and_miss_nothing(count: int, distance: int) -> None:
    parts = parted(count, distance)
    assert sum(part.radius + 1 for part in parts) == distance + 1
    bits = [bit for part in parts for bit in part.bits]
    assert len(set(bits)) == len(bits)
    assert max(len(part.bits) for part in parts) <= 22


def test_what_has_no_look_is_alone() -> None:
    assert len(set(alike(np.zeros(5, np.uint64), 8).tolist())) == 5
    assert len(alike(np.zeros(0, np.uint64), 8)) == 0


def test_a_crowd_of_one_look_is_one_group() -> None:
    crowd = np.concatenate([scattered([0x5A5A5A5AC3C3C3C3], 3, 20_000, 1), scattered([1], 30, 1000, 2)])
    assert np.bincount(alike(crowd, 4)).max() == 20_000

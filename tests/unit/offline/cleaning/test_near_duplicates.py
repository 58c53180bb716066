"""Against comparing every hash with every other."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from offline.cleaning.near_duplicates import CHUNKS, near_pairs, near_pairs_in


def hashes(number, seed=0):
    """Half of them random, the other half within 8 bits of one of those; some equal."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 2**64, number, dtype=np.uint64)
    values[number // 2 :] = values[: number - number // 2]
    for i in range(number // 2, number):
        for bit in random.choice(64, random.integers(0, 9), replace=False):
            values[i] ^= np.uint64(1) << np.uint64(bit)
    return values


def every_pair(values, radius):
    bits = np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1).astype(int)
    distances = (bits[:, None, :] != bits[None, :, :]).sum(axis=2)
    return [(i, j) for i, j in np.argwhere(distances <= radius).tolist() if i < j]


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5, 8, 11])
def test_finds_just_the_pairs_within_the_radius(radius):
    values = hashes(600, seed=radius)
    expected = every_pair(values, radius)
    assert len(expected) > 20
    assert near_pairs(values, radius).tolist() == [list(pair) for pair in expected]


def test_the_chunks_have_each_pair_once_between_them():
    values = hashes(800)
    parts = [near_pairs_in(values, 5, chunk).tolist() for chunk in range(len(CHUNKS))]
    assert all(parts)
    assert sorted(chain.from_iterable(parts)) == near_pairs(values, 5).tolist()


def test_the_chunks_are_all_bits():
    assert [first + width for first, width in CHUNKS[:-1]] == [first for first, _ in CHUNKS[1:]]
    assert (CHUNKS[0][0], sum(CHUNKS[-1])) == (0, 64)


@pytest.mark.parametrize("number", [0, 1])
def test_nothing_is_near_nothing(number):
    assert near_pairs(hashes(number), 5).shape == (0, 2)


def test_more_than_a_block_of_equal_ones():
    assert len(near_pairs(np.zeros(2000, np.uint64), 3)) == 2000 * 1999 // 2


@pytest.mark.parametrize("radius", [-1, 12])
def test_a_radius_that_cannot_be_is_told(radius):
    with pytest.raises(ValueError, match=f"0 to 11 bits is expected, not {radius}"):
        near_pairs(hashes(4), radius)

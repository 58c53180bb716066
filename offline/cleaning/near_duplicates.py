"""All pairs of 64-bit hashes within a Hamming radius, exactly.

Multi-index hashing (Norouzi, Punjani & Fleet, Fast Search in Hamming Space with Multi-Index Hashing, CVPR 2012): of
three chunks of the bits, two hashes that differ in at most r bits agree in one up to r // 3 bits. So every hash is
looked up in three tables, under its own chunk and under those that differ in so few bits.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]
"""(n, 2), the smaller index first; each pair once, in order."""

CHUNKS: Final = ((0, 22), (22, 21), (43, 21))
"""First bit and number of bits of each."""
_BLOCK: Final = 1 << 16
MAX_RADIUS: Final = 11  # beyond, a chunk may differ in four bits, and there are 7,000 of such in each of three tables


def near_pairs(hashes: NDArray[np.uint64], radius: int) -> Pairs:
    """Pairs of indices whose hashes differ in at most `radius` bits.

    Equal hashes are pairs, too: n equal ones are n (n - 1) / 2 pairs, so collapse them first (see dedup.py).
    Raises ValueError for a radius below 0 or above 11.
    """
    found = [near_pairs_in(hashes, radius, chunk) for chunk in range(len(CHUNKS))]
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def near_pairs_in(hashes: NDArray[np.uint64], radius: int, chunk: int, slice_of: tuple[int, int] = (0, 1)) -> Pairs:
    """Those pairs that agree in a chunk and in none before it: the three chunks' pairs together are all, each once.

    What a machine of several does: it needs all hashes, 8 bytes each, but never sees the others' pairs. slice_of: which
    of how many slices of the chunk's work to do; together they give all of its pairs, each once.
    """
    if not 0 <= radius <= MAX_RADIUS:
        msg = f"a radius of 0 to {MAX_RADIUS} bits is expected, not {radius}"
        raise ValueError(msg)
    allowed = radius // len(CHUNKS)
    first, width = CHUNKS[chunk]
    keys = ((hashes >> np.uint64(first)) & np.uint64((1 << width) - 1)).astype(np.int64)
    starts = np.zeros((1 << width) + 1, np.int64)
    np.cumsum(np.bincount(keys, minlength=1 << width), out=starts[1:])
    order = np.argsort(keys, kind="stable")
    table = hashes[order]
    flips = np.array(
        [sum(1 << bit for bit in bits) for n in range(allowed + 1) for bits in combinations(range(width), n)], np.int64
    )
    # In the order of their keys, neighbours in the work look at neighbours in the table.
    part, parts = slice_of
    begin, end = len(hashes) * part // parts, len(hashes) * (part + 1) // parts
    blocks = [(low, min(low + _BLOCK, end)) for low in range(begin, end, _BLOCK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(
            lambda block: _search(table, order, keys[order], starts, flips, radius, allowed, chunk, *block), blocks
        )
        return np.concatenate([np.empty((0, 2), np.int64), *found])


@numba.njit(nogil=True, cache=True)
def _popcount(x: np.uint64) -> np.int64:
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@numba.njit(nogil=True, cache=True)
def _agreed_before(difference: np.uint64, allowed: int, chunk: int) -> np.bool_ | bool:
    """Whether an earlier chunk has found the pair."""
    if chunk > 0 and _popcount(difference & np.uint64((1 << 22) - 1)) <= allowed:
        return True
    return chunk > 1 and _popcount((difference >> np.uint64(22)) & np.uint64((1 << 21) - 1)) <= allowed


@numba.njit(nogil=True, cache=True)
def _search(
    table: NDArray[np.uint64],
    order: NDArray[np.int64],
    keys: NDArray[np.int64],
    starts: NDArray[np.int64],
    flips: NDArray[np.int64],
    radius: int,
    allowed: int,
    chunk: int,
    low: int,
    high: int,
) -> Pairs:
    """The pairs of table[low:high] with anything, found from the one that stands first in the table."""
    found = np.empty((1024, 2), np.int64)
    count = 0
    for i in range(low, high):
        for flip in flips:
            bucket = keys[i] ^ flip
            for j in range(max(starts[bucket], i + 1), starts[bucket + 1]):
                difference = table[i] ^ table[j]
                if _popcount(difference) > radius or _agreed_before(difference, allowed, chunk):
                    continue
                if count == len(found):
                    grown = np.empty((2 * count, 2), np.int64)
                    grown[:count] = found
                    found = grown
                found[count, 0] = min(order[i], order[j])
                found[count, 1] = max(order[i], order[j])
                count += 1
    return found[:count]

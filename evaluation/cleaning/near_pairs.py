"""All pairs of hashes within 5 bits: time, memory, and exactness against brute force on a sample."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.cleaning import imagededup_peer
from evaluation.programs import program, unpack_wheel
from offline.cleaning.near_duplicates import near_pairs

Hashes = NDArray[np.uint64]
RADIUS: Final = 5
_FAISS: Final = "faiss-cpu==1.15.1"
_SEED: Final = 9
_SAMPLE: Final = 200
_COPIES: Final = 0.1
"""Share of the hashes that are others with up to 8 bits flipped."""


@dataclass(frozen=True)
class Found:
    """One way on so many hashes. gigabytes: peak of the process beyond the hashes' own; exact: on a sample."""

    way: str
    hashes: int
    seconds: float
    cpu_seconds: float
    pairs: int
    gigabytes: float | None = None
    exact: bool | None = None


def made_up(count: int) -> Hashes:
    """Distinct random hashes with near ones among them."""
    random = np.random.default_rng(_SEED)
    hashes = random.integers(0, 2**64 - 1, count, np.uint64, endpoint=True)
    copies = int(count * _COPIES)
    flips = np.zeros(copies, np.uint64)
    for _ in range(8):
        flips ^= np.uint64(1) << random.integers(0, 64, copies, np.uint64)
    hashes[:copies] = hashes[count - copies :] ^ flips
    return random.permutation(np.unique(hashes))


def ours(count: int, rounds: int) -> Found:
    """In a process of its own, whose memory is measured."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_ours, (count, rounds))


def _ours(count: int, rounds: int) -> Found:
    hashes = made_up(count)
    near_pairs(hashes[:1000], RADIUS)  # compiles
    before = _peak()
    times = []
    for _ in range(rounds):
        start, cpu = time.perf_counter(), _cpu()
        pairs = near_pairs(hashes, RADIUS)
        times.append((time.perf_counter() - start, _cpu() - cpu))
    gigabytes, (seconds, cpu) = _peak() - before, np.median(times, axis=0).tolist()
    return Found("shiwu", len(hashes), seconds, cpu, len(pairs), gigabytes, _exact_on_sample(hashes, pairs))


def _cpu() -> float:
    """Seconds of this process and of those that it started and waited for."""
    return sum(os.times()[:4])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes


def _exact_on_sample(hashes: Hashes, pairs: NDArray[np.int64]) -> bool:
    """Whether these are all pairs that the sampled hashes are in; those with near ones first."""
    sample = np.unique(np.concatenate([pairs[: _SAMPLE // 2].ravel(), np.arange(_SAMPLE // 2)]))
    for each in sample.tolist():
        near = np.flatnonzero(np.bitwise_count(hashes ^ hashes[each]) <= RADIUS)
        listed = np.concatenate([pairs[pairs[:, 0] == each, 1], pairs[pairs[:, 1] == each, 0], [each]])
        if sorted(near.tolist()) != sorted(listed.tolist()):
            return False
    return True


def peers(faiss_hashes: int, brute_hashes: int, dedup_hashes: int) -> list[Found]:
    """Each on as many as it can do in about a minute. exact: whether it finds as many pairs as we."""
    found = []
    for way, count, run in (
        ("faiss MultiHash, 4 tables of 16 bits, 1 flip", faiss_hashes, _faiss),
        ("brute force, numpy", brute_hashes, _brute),
        ("imagededup, brute force in C", dedup_hashes, _imagededup),
    ):
        hashes = made_up(count)
        start, cpu = time.perf_counter(), _cpu()
        pairs = run(hashes)
        seconds, cpu = time.perf_counter() - start, _cpu() - cpu
        found.append(Found(way, len(hashes), seconds, cpu, pairs, exact=pairs == len(near_pairs(hashes, RADIUS))))
    return found


def _brute(hashes: Hashes) -> int:
    within = sum(
        int(np.count_nonzero(np.bitwise_count(hashes[start : start + 64, None] ^ hashes[None, :]) <= RADIUS))
        for start in range(0, len(hashes), 64)
    )
    return (within - len(hashes)) // 2  # each is near itself, and each pair was seen from both ends


def _faiss(hashes: Hashes) -> int:
    faiss = _faiss_module()
    codes = hashes.view(np.uint8).reshape(len(hashes), 8)
    index = faiss.IndexBinaryMultiHash(64, 4, 16)
    index.nflip = 1  # four chunks: of five bits, one chunk has at most one
    index.add(codes)
    limits, _, _ = index.range_search(codes, RADIUS + 1)  # below, not up to
    return (int(limits[-1]) - len(hashes)) // 2


@cache
def _faiss_module() -> Any:
    sys.path.append(str(program(_FAISS, _unpack)))
    return importlib.import_module("faiss")


def _unpack(place: Path) -> None:
    unpack_wheel(_FAISS, place)


def _imagededup(hashes: Hashes) -> int:
    peer = imagededup_peer.hashing().DHash(verbose=False)
    encodings = {str(i): f"{each:016x}" for i, each in enumerate(hashes.tolist())}
    found = peer.find_duplicates(encoding_map=encodings, max_distance_threshold=RADIUS, num_dist_workers=1)
    return sum(map(len, found.values())) // 2

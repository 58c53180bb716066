"""A pool of views that went through the frozen trunk once.

The trunk takes longer than everything after it and never changes, so its features are kept on disk and every
epoch after the first costs only the trained part.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from offline.training.backbone import normalise
from offline.training.embedder.model import C3_CHANNELS, C4_CHANNELS, DESCRIPTOR, Embedder
from offline.training.embedder.sources import GROUPS, Kind, Source, view
from shiwu.vision.resize import Image

_BATCH = 16
_DONE = "pool.json"


@dataclass(frozen=True, slots=True)
class Pool:
    """Features of n views and what they show.

    c4: float16 (n, s/16, s/16, 112). c3: float16 (n, s/32, s/32, 40). descriptor: float16 (n, 1432), what the
    untrained network makes of the view. product, style: int64 (n,), numbered from 0. group: index into GROUPS, (n,).
    clean: whether it is a shop's view, (n,).
    """

    c4: NDArray[np.float16]
    c3: NDArray[np.float16]
    descriptor: NDArray[np.float16]
    product: NDArray[np.int64]
    style: NDArray[np.int64]
    group: NDArray[np.int64]
    clean: NDArray[np.bool_]

    def batch(self, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """C4 and C3 of these views as the network takes them, channels last in memory."""
        return _tensor(self.c4[index]), _tensor(self.c3[index])


@dataclass(frozen=True, slots=True)
class _Plan:
    """The views to make: source and kind of each."""

    sources: Sequence[Source]
    views: list[tuple[int, Kind]]


def build_pool(
    sources: Sequence[Source],
    backgrounds: Sequence[Image],
    embedder: Embedder,
    size: int,
    seed: int,
    folder: Path,
    workers: int = 1,
) -> Pool:
    """Makes all views of all sources, or opens the pool that an earlier run made of the same ones in `folder`."""
    plan = _Plan(sources, [(i, kind) for i, s in enumerate(sources) for kind, count in s.views for _ in range(count)])
    key = _key(plan, size, seed)
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / _DONE
    if not (done.exists() and json.loads(done.read_text()) == key):
        done.unlink(missing_ok=True)
        _fill(plan, backgrounds, embedder, size, seed, folder, workers)
        done.write_text(json.dumps(key))
    products = [sources[i].product for i, _ in plan.views]
    styles = [sources[i].style for i, _ in plan.views]
    return Pool(
        c4=np.load(folder / "c4.npy", mmap_mode="r"),
        c3=np.load(folder / "c3.npy", mmap_mode="r"),
        descriptor=np.load(folder / "descriptor.npy", mmap_mode="r"),
        product=np.unique(products, return_inverse=True)[1].astype(np.int64),
        style=np.unique(styles, return_inverse=True)[1].astype(np.int64),
        group=np.array([GROUPS.index(sources[i].group) for i, _ in plan.views], np.int64),
        clean=np.array([kind == "shop" for _, kind in plan.views], np.bool_),
    )


def _key(plan: _Plan, size: int, seed: int) -> dict[str, str | int]:
    text = "\n".join(f"{plan.sources[i].product} {kind}" for i, kind in plan.views)
    return {"size": size, "seed": seed, "views": len(plan.views), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _fill(
    plan: _Plan, backgrounds: Sequence[Image], embedder: Embedder, size: int, seed: int, folder: Path, workers: int
) -> None:
    count, grid = len(plan.views), size // 32
    c4 = _create(folder / "c4.npy", (count, 2 * grid, 2 * grid, C4_CHANNELS))
    c3 = _create(folder / "c3.npy", (count, grid, grid, C3_CHANNELS))
    descriptor = _create(folder / "descriptor.npy", (count, DESCRIPTOR))
    start = 0
    squares = _views(plan, backgrounds, size, seed, workers)
    with tqdm(total=count, desc="views", unit="view", mininterval=5) as bar, torch.inference_mode():
        for batch in squares:
            x = normalise(torch.from_numpy(batch)).contiguous(memory_format=torch.channels_last)
            high, low = embedder.trunk(x)
            part = slice(start, start + len(batch))
            c4[part] = high.permute(0, 2, 3, 1).numpy()
            c3[part] = low.permute(0, 2, 3, 1).numpy()
            descriptor[part] = embedder.crown.describe(high, low).numpy()
            start += len(batch)
            bar.update(len(batch))
    for array in (c4, c3, descriptor):
        array.flush()


def _views(
    plan: _Plan, backgrounds: Sequence[Image], size: int, seed: int, workers: int
) -> Iterator[NDArray[np.uint8]]:
    """Batches of views in the order of the plan; each view has a random stream of its own, whoever makes it."""
    starts = range(0, len(plan.views), _BATCH)
    maker = _Maker(plan, backgrounds, size, seed)
    if workers == 0:
        yield from map(maker, starts)
        return
    # A forked worker shares the pictures in memory instead of copying them.
    context = multiprocessing.get_context("fork")
    with context.Pool(workers, initializer=_adopt, initargs=(maker,)) as pool:
        yield from pool.imap(_make, starts, chunksize=2)


@dataclass(frozen=True, slots=True)
class _Maker:
    plan: _Plan
    backgrounds: Sequence[Image]
    size: int
    seed: int

    def __call__(self, start: int) -> NDArray[np.uint8]:
        made = [
            view(self.plan.sources[i], kind, self.backgrounds, self.size, np.random.default_rng([self.seed, n]))
            for n, (i, kind) in enumerate(self.plan.views[start : start + _BATCH], start)
        ]
        return np.stack(made)


_maker: _Maker | None = None


def _adopt(maker: _Maker) -> None:
    global _maker  # noqa: PLW0603  a forked worker has no other way to hold what it works on
    _maker = maker


def _make(start: int) -> NDArray[np.uint8]:
    if _maker is None:
        msg = "this process was not forked to make views"
        raise RuntimeError(msg)
    return _maker(start)


def _create(path: Path, shape: tuple[int, ...]) -> np.memmap[tuple[int, ...], np.dtype[np.float16]]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)


def _tensor(features: NDArray[np.float16]) -> Tensor:
    """(n, height, width, channels) to (n, channels, height, width) without moving memory."""
    return torch.from_numpy(np.asarray(features, np.float32)).permute(0, 3, 1, 2)

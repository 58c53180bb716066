"""Real pictures to calibrate with and to compare on, prepared as the services prepare them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from offline.export.errors import UsageError
from offline.training.items import ITEMS_FILE, Item, load_items
from shiwu.inference.manifest import Preprocessing
from shiwu.vision.decode import ImageError, Limits, decode
from shiwu.vision.resize import fit

Squares = NDArray[np.uint8]
"""Pictures as a model reads them, (n, size, size, 3), RGB."""

_SEED: Final = 5


@dataclass(frozen=True, slots=True)
class Pictures:
    """Two sets of different pictures, so that no quantised model is judged on what it was calibrated with."""

    calibration: Squares
    comparison: Squares


def choose(data: Path, how: Preprocessing, calibration: int, comparison: int) -> Pictures:
    """A fixed random choice among the photos and shop pictures of all image sets under `data`, by turns from each set.

    Raises UsageError when there are too few, ItemsError or UsageError when one cannot be read.
    """
    wanted = calibration + comparison
    items = _by_turns(load_items(data, image_sets(data)))[:wanted]
    if len(items) < wanted:
        msg = f"the image sets of {data} (folders with {ITEMS_FILE}) have {len(items)} pictures; {wanted} are needed"
        raise UsageError(msg)
    squares = np.stack([_square(item, how) for item in tqdm(items, desc="pictures", unit="picture")])
    return Pictures(squares[:calibration], squares[calibration:])


def image_sets(data: Path) -> list[str]:
    """Names of the folders under `data` that have an items.jsonl."""
    return sorted(path.parent.name for path in data.glob(f"*/{ITEMS_FILE}"))


def _by_turns(items: Sequence[Item]) -> list[Item]:
    """One item of each set, then the next of each: a large set must not drown the others."""
    queues: dict[str, list[Item]] = defaultdict(list)
    for i in np.random.default_rng(_SEED).permutation(len(items)):
        if items[i].role in {"photo", "merchant"}:
            queues[items[i].dataset].append(items[i])
    places = [(place, name, item) for name, queue in queues.items() for place, item in enumerate(queue)]
    return [item for _, _, item in sorted(places, key=lambda entry: entry[:2])]


def _square(item: Item, how: Preprocessing) -> NDArray[np.uint8]:
    try:
        photo = decode(item.path.read_bytes(), Limits())
    except (OSError, ImageError) as error:
        msg = f"{item.path}: {error}"
        raise UsageError(msg) from error
    return fit(photo.pixels, how.size, how.fit, how.fill)[0]

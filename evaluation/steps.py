"""CPU time of the steps of a scan that are this project's own code, each beside a peer in the same run.

python -m evaluation.steps [--runs N] [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from evaluation.flat_covers import covers
from services.catalog.comparing import agreements
from services.classifier.voting import DEFAULT_RULE as VOTE_RULE
from services.classifier.voting import Neighbour, vote
from services.gateway.k_reciprocal import DEFAULT_RULE, KReciprocal
from services.gateway.query_bank import QueryBank
from services.gateway.query_expansion import DEFAULT_RULE as EXPANSION_RULE
from services.gateway.query_expansion import QueryExpansion
from services.gateway.ranking import by_similarity
from shiwu.categories import CATEGORIES
from shiwu.inference.tuning import QueryBankRule
from shiwu.vision.decode import Limits, decode
from shiwu.vision.local_features import MOST_OF_PHOTO, describe, pack

_SIDE = 640
_SEED = 3
_BANK = 2700


def main() -> None:
    """Prints the median CPU time of every step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=31, help="of every step, in turn")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with threadpool_limits(limits=1, user_api="blas"):
        figures = _medians(_steps(), options.runs)
    if options.json:
        print(json.dumps(figures))
        return
    table = Table("step", "CPU ms, median")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)


def _steps() -> dict[str, Callable[[], Any]]:
    random = np.random.default_rng(_SEED)
    large, small = _jpeg(random, 4000, 3000), _jpeg(random, 1152, 864)
    query, gallery = _unit(random, 1)[0], _unit(random, 100)
    plain = by_similarity((gallery @ query).tolist())
    reciprocal, expansion = KReciprocal(DEFAULT_RULE), QueryExpansion(EXPANSION_RULE)
    bank = QueryBank(QueryBankRule(neighbours=5, weight=0.2), _unit(random, _BANK))
    neighbours = [
        Neighbour(f"image-{i}", CATEGORIES[i % len(CATEGORIES)], float(value))
        for i, value in enumerate(np.sort(random.uniform(0.2, 0.9, 20))[::-1])
    ]
    scores = [(category, float(score)) for category, score in zip(CATEGORIES, random.random(11), strict=True)]
    prints = [cover.picture() for cover in covers(10, _SEED)]
    crop = np.ascontiguousarray(prints[0][8:-8, 8:-8])
    photo, pictures = describe(crop, MOST_OF_PHOTO), {str(i): pack(describe(each)) for i, each in enumerate(prints)}
    return {
        "decode 12 MP JPEG": lambda: decode(large, Limits(), _SIDE),
        "decode 12 MP JPEG, Pillow with draft": lambda: _pillow(large),
        "decode 12 MP JPEG, OpenCV reduced by 4": lambda: _opencv(large, cv2.IMREAD_REDUCED_COLOR_4),
        "decode 1 MP JPEG": lambda: decode(small, Limits(), _SIDE),
        "decode 1 MP JPEG, Pillow with draft": lambda: _pillow(small),
        "re-rank 100 candidates, k-reciprocal": lambda: reciprocal.rank(query, gallery, plain),
        "re-rank 100 candidates, query expansion": lambda: expansion.rank(query, gallery, plain),
        f"re-rank 100 candidates, bank of {_BANK} queries": lambda: bank.rank(query, gallery, plain),
        "local features of a crop": lambda: describe(crop, MOST_OF_PHOTO),
        "compare prints with 10 pictures": lambda: agreements(photo, pictures),
        "vote of 20 neighbours": lambda: vote(scores, neighbours, VOTE_RULE),
    }


def _medians(steps: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """All steps in turn, `runs` times, so that a busy moment of the machine does not fall on one of them."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(runs + 1):
        for name, step in steps.items():
            began = time.process_time()
            step()
            taken[name].append((time.process_time() - began) * 1e3)
    return {name: round(float(np.median(times[1:])), 3) for name, times in taken.items()}


def _jpeg(random: np.random.Generator, width: int, height: int) -> bytes:
    """A photo-like picture: smooth shapes, edges and grain; about 0.2 bytes a pixel, as phones make them."""
    coarse = random.integers(0, 256, (height // 100, width // 100, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    grain = random.normal(0.0, 6.0, (height, width, 1)).astype(np.float32)
    pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return bytes(data)


def _unit(random: np.random.Generator, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    vectors = random.normal(size=(count, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _pillow(data: bytes) -> Pillow.Image:
    picture = Pillow.open(io.BytesIO(data))
    picture.draft("RGB", (_SIDE, _SIDE))
    return picture.convert("RGB")


def _opencv(data: bytes, mode: int) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), mode)


if __name__ == "__main__":
    main()
